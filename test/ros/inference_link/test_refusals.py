# SPDX-License-Identifier: Apache-2.0
"""Chunks that may not be used are refused with the reason, and the right one is used all the same."""

import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import running
from small_robot import JOINTS, TASKS
from waiting import wait_for

from dit_policy_ros.msg import ActionChunk, InferenceRequest
from dit_policy_ros.ros.common import qos, stamp_ns, to_stamp
from dit_policy_ros.ros.inference_protocol import Answer, Latencies, answer_message


def answer(link, asked: InferenceRequest, now_ns: int, **changes) -> ActionChunk:
    """What the inference node could answer, with some fields changed."""
    policy = link.policy
    fields = {
        "request": asked.id,
        "epoch": asked.epoch,
        "session": asked.session,
        "policy": policy.policy,
        "stamp_ns": now_ns,
        "period_ns": 33_333_333,
        "joints": JOINTS,
        "actions": np.full((policy.rows, 4), 0.02, np.float32),
        "latencies": Latencies(0.0, 0.0, 0.0, 0.01),
    }
    return answer_message(Answer(**(fields | changes)))


class Stranger:
    """Answers requests while the real policy waits for `go`."""

    def __init__(self, watch, monkeypatch):
        self.watch, self.go = watch, threading.Event()
        self.requests: list[InferenceRequest] = []
        policy, predict = watch.policy, watch.policy.predict
        monkeypatch.setattr(policy, "predict", lambda *a, **k: (self.go.wait(30.0), predict(*a, **k))[1])
        robot = watch.robot
        robot.create_subscription(InferenceRequest, "/inference/request", self.requests.append, qos.INFERENCE)
        self.publisher = robot.create_publisher(ActionChunk, "/inference/chunk", qos.INFERENCE)
        wait_for(lambda: self.publisher.get_subscription_count(), 5.0, "the policy node listens")

    @property
    def link(self):
        return self.watch.node.state.configured.link

    def send(self, **changes):
        wait_for(lambda: self.requests and self.requests[-1].wanted, 10.0, "a request")
        now_ns = self.watch.node.get_clock().now().nanoseconds
        self.publisher.publish(answer(self.link, self.requests[-1], now_ns, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"request": 7}, "it answers no request of this node", marks=pytest.mark.slow),
        pytest.param({"session": 7}, "another inference node sent it", marks=pytest.mark.slow),
        pytest.param(
            {"policy": "0" * 32},
            "it is of another checkpoint (00000000 instead of",
            marks=pytest.mark.slow,
        ),
        ({"epoch": 99}, "it is for epoch 99"),
        pytest.param({"joints": JOINTS[::-1]}, "its joints are right_gripper", marks=pytest.mark.slow),
        pytest.param(
            {"period_ns": 50_000_000}, "its period is 0.05 s instead of 0.0333333 s", marks=pytest.mark.slow
        ),
        pytest.param(
            {"actions": np.zeros((3, 4), np.float32)}, "it has 3 rows instead of 31", marks=pytest.mark.slow
        ),
        pytest.param({"actions": np.zeros((31, 3), np.float32)}, "it is malformed", marks=pytest.mark.slow),
    ],
)
def test_what_is_no_answer_is_refused_and_motion_goes_on(
    ros_domain, checkpoint, monkeypatch, changes, reason
):
    with running(checkpoint, plan_horizon=3.0, chunk_timeout=20.0) as watch:
        stranger = Stranger(watch, monkeypatch)
        stranger.send(**changes)
        wait_for(lambda: watch.status.refused_chunks >= 1, 10.0, "the chunk is refused")
        assert reason in stranger.link.refusal
        stranger.go.set()
        plans = watch.status.plans
        wait_for(lambda: watch.status.plans > plans + 3, 10.0, "the real chunks are used")


@pytest.mark.slow
def test_an_observation_that_took_too_long_is_refused_however_fast_the_policy_was(
    ros_domain, checkpoint, monkeypatch
):
    with running(checkpoint, plan_horizon=3.0, chunk_timeout=20.0) as watch:
        stranger = Stranger(watch, monkeypatch)
        plans = watch.status.plans
        old = watch.node.get_clock().now().nanoseconds - 1_500_000_000
        stranger.send(stamp_ns=old)
        wait_for(lambda: watch.status.refused_chunks >= 1, 10.0, "the chunk is refused")
        assert "s old without the inference, 1.20 s are allowed" in stranger.link.refusal
        assert watch.status.plans <= plans + 1
        # The same age is no fault where the policy has taken it: the arms merely go on from there.
        stranger.requests.clear()
        stranger.send(stamp_ns=old, latencies=Latencies(0.0, 0.0, 0.0, 2.0))
        wait_for(lambda: watch.status.chunks and watch.status.inference_latency_p95 > 1.0, 10.0, "it is used")
        stranger.go.set()


def test_a_chunk_that_is_not_finite_holds_whoever_sends_it(ros_domain, checkpoint, monkeypatch):
    with running(checkpoint, plan_horizon=3.0, chunk_timeout=20.0) as watch:
        stranger = Stranger(watch, monkeypatch)
        stranger.send(actions=np.full((31, 4), np.nan, np.float32))
        watch.wait_hold("not finite")
        assert not watch.status.hold_recoverable
        stranger.go.set()


@pytest.mark.slow
def test_a_repeated_answer_is_no_fault(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        node = watch.node.inference
        for _ in range(20):
            message, _ = node._last_answer
            node._chunks.publish(message)
            plans = watch.status.plans
            wait_for(lambda n=plans: watch.status.plans > n, 10.0, "plans go on")
        assert watch.status.refused_chunks == 0


@pytest.mark.slow
def test_requests_at_a_high_rate_from_somebody_else_change_nothing(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        flood = watch.robot.create_publisher(InferenceRequest, "/inference/request", qos.INFERENCE)
        wait_for(lambda: flood.get_subscription_count() >= 1, 5.0, "the inference node listens")
        plans, chunks = watch.status.plans, watch.status.chunks
        for number in range(2000):
            flood.publish(InferenceRequest(id=number, session=3, wanted=True, task=TASKS[1]))
        flood.publish(InferenceRequest(id=1, session=3, committed_columns=4, committed=[0.0] * 7))
        wait_for(lambda: watch.status.plans > plans + 5, 20.0, "plans go on")
        assert watch.status.chunks > chunks and watch.status.refused_chunks == 0


def test_requests_say_what_is_wanted_and_stop_at_a_hold(ros_domain, checkpoint, monkeypatch):
    with running(checkpoint) as watch:
        seen: list[InferenceRequest] = []
        watch.robot.create_subscription(InferenceRequest, "/inference/request", seen.append, qos.INFERENCE)
        wait_for(lambda: any(each.wanted for each in seen), 10.0, "a request")
        wanted = [each for each in seen if each.wanted]
        assert {each.task for each in wanted} == {TASKS[0]}
        assert all(stamp_ns(each.earliest) <= stamp_ns(each.stamp) + 200_000_000 for each in wanted)
        watch.node.state.configured.motion.hold("a test")
        watch.wait_hold("a test")
        wait_for(lambda: not seen[-1].wanted, 5.0, "nothing is wanted during a HOLD")
        quiet = len(seen)
        wait_for(lambda: len(seen) > quiet + 3, 5.0, "the link is kept alive")
        assert not any(each.wanted for each in seen[quiet:])
        assert to_stamp(0) == seen[-1].earliest
