# SPDX-License-Identifier: Apache-2.0
"""The stream of targets to controllers of poses: what is published, when it ends, and what is never sent."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_helpers import ensemble_settings
from pose_robot import ANGULAR, LINEAR, pose_contract
from waiting import wait_for

from dit_policy_ros.core.motion import Chunk, MotionSettings, MotionState, Pipeline, Plan
from dit_policy_ros.ros.common import stamp_ns
from dit_policy_ros.ros.controllers import _pose_targets
from dit_policy_ros.ros.controllers._pose_targets import PoseTargets, is_sound

CONTRACT = pose_contract()
FASTEST = CONTRACT.limits.velocity  # (A,)
REST = np.tile([0.05, 0.1, 0.25, 0.1, 0.0, 0.0, 0.02], 2)


class Published:
    """Stands for a publisher; keeps what it gets."""

    def __init__(self) -> None:
        self.messages = []

    def publish(self, message) -> None:
        self.messages.append(message)


def plan(now_ns: int, seconds: float, speed: float = 0.1) -> Plan:
    """At rest until 0.05 s from now, then along x at a speed [m/s] for so long; then at rest for 10 s."""
    times_ns = now_ns + np.array([-0.1, 0.05, 0.15, seconds + 0.15, seconds + 0.25, seconds + 10.0]) * 1e9
    positions, velocities = np.tile(REST, (6, 1)), np.zeros((6, 14))
    positions[:, 0] += speed * np.array([0.0, 0.0, 0.05, 0.05 + seconds, 0.1 + seconds, 0.1 + seconds])
    velocities[2:4, 0] = speed
    return Plan(times_ns.astype(np.int64), positions, velocities)


@pytest.fixture
def stream(ros_domain):
    node, faults = rclpy.create_node("targets"), []
    targets = PoseTargets(node, CONTRACT, faults.append)
    sinks = {}
    for name in ("left_pose_controller", "right_pose_controller"):
        sinks[name] = Published()
        targets.add(CONTRACT.controller(name), sinks[name])
    yield node, targets, sinks, faults
    targets.close()
    node.destroy_node()


def test_targets_are_the_plan_at_their_stamps_until_the_arms_rest(stream) -> None:
    node, targets, sinks, faults = stream
    sent = plan(node.get_clock().now().nanoseconds, 0.4)
    targets.send(sent)
    assert all(len(sink.messages) >= 1 for sink in sinks.values()), "the first target leaves at once"
    assert targets.finish(20.0)
    left = sinks["left_pose_controller"].messages
    for message in left:
        expected = sent.sample_at(stamp_ns(message.header.stamp))[0][0]
        assert message.pose.position.x == pytest.approx(expected, abs=1e-9)
        assert message.header.frame_id == "world"
        assert is_sound(message)
    assert left[-1].pose.position.x == pytest.approx(sent.positions[-1, 0]), "the rest is the last target"
    assert stamp_ns(left[-1].header.stamp) < sent.end_ns, "a HOLD's plan of 10 s is not streamed to its end"
    count = len(left)
    assert targets.finish(0.0)
    assert len(left) == count
    assert not faults


def test_a_new_plan_takes_over_at_once(stream) -> None:
    node, targets, sinks, _ = stream
    targets.send(plan(node.get_clock().now().nanoseconds, 5.0))
    wait_for(lambda: len(sinks["right_pose_controller"].messages) > 5, 20.0, "targets")
    still = plan(node.get_clock().now().nanoseconds, 0.0, speed=0.0)
    targets.send(still)
    left = sinks["left_pose_controller"].messages
    begun = len(left) - 1
    assert targets.finish(20.0)
    places = [message.pose.position.x for message in left[begun:]]
    assert places[-1] == pytest.approx(REST[0])
    assert max(places) < places[0] + 0.02, "it turns round as fast as the limits allow"


def test_a_plan_that_was_sent_late_makes_no_step(stream) -> None:
    """The pose of the new plan is 1 cm from that of the old one, as if it had been under way for too long."""
    node, targets, sinks, _ = stream
    targets.send(plan(node.get_clock().now().nanoseconds, 0.0, speed=0.0))
    late = plan(node.get_clock().now().nanoseconds, 0.0, speed=0.0)
    late.positions[:, 0] += 0.01
    targets.send(late)
    assert targets.finish(20.0)
    messages = sinks["left_pose_controller"].messages
    times = np.array([stamp_ns(each.header.stamp) for each in messages]) * 1e-9
    places = np.array([each.pose.position.x for each in messages])
    assert places[-1] == pytest.approx(REST[0] + 0.01), "the gap is closed"
    assert (np.diff(places) <= FASTEST[0] * np.diff(times) + 1e-6).all()


def test_what_is_no_pose_is_not_sent_and_told(stream) -> None:
    node, targets, sinks, faults = stream
    broken = plan(node.get_clock().now().nanoseconds, 1.0)
    broken.positions[:, 7:] = np.nan
    targets.send(broken)
    assert sinks["right_pose_controller"].messages == []
    assert "right_ee is no pose" in faults[0]
    assert targets.finish(5.0), "the stream has ended"


class FakeNode:
    """A node whose clock a test sets."""

    def __init__(self):
        self.now_ns = 1_790_000_000_000_000_000

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now_ns))

    def get_parameter(self, _):
        return SimpleNamespace(value=False)


class Timeline:
    """The stream of targets on a clock that a test sets, without a thread."""

    def __init__(self, monkeypatch):
        self.node, self.sink, self.steady_ns = FakeNode(), Published(), 0
        clock = SimpleNamespace(monotonic_ns=lambda: self.steady_ns, monotonic=time.monotonic)
        monkeypatch.setattr(_pose_targets, "time", clock)
        self.faults = []
        self.targets = PoseTargets(self.node, CONTRACT, self.faults.append)
        self.targets._thread = threading.current_thread()  # it needs none
        self.targets.add(CONTRACT.controller("left_pose_controller"), self.sink)
        self.at = []  # steady time of each target [ns]

    def run(self, milliseconds):
        for _ in range(milliseconds // 10):
            self.node.now_ns += 10_000_000
            self.steady_ns += 10_000_000
            if self.targets._plan is not None:
                self.publish(lambda: self.targets._publish(self.targets._arms))

    def send(self, plan):
        self.publish(lambda: self.targets.send(plan))

    def publish(self, act):
        count = len(self.sink.messages)
        act()
        self.at += [self.steady_ns] * (len(self.sink.messages) - count)

    def check(self):
        """No target is further from the one before than the limits allow in the time between."""
        poses = [message.pose for message in self.sink.messages]
        places = np.array([[p.position.x, p.position.y, p.position.z] for p in poses])  # (N, 3)
        turns = np.array([[q.x, q.y, q.z, q.w] for q in (p.orientation for p in poses)])  # (N, 4)
        # After a pause, a controller follows a step as well.
        elapsed = np.minimum(np.diff(self.at) * 1e-9, 0.01)  # (N - 1,) [s]
        ways = np.linalg.norm(np.diff(places, axis=0), axis=1)  # (N - 1,)
        assert (ways <= LINEAR[0] * elapsed + 5e-6).all(), (ways - LINEAR[0] * elapsed).max()
        angles = 2.0 * np.arccos(np.minimum(np.abs((turns[1:] * turns[:-1]).sum(axis=1)), 1.0))  # (N - 1,)
        assert (angles <= ANGULAR[0] * elapsed + 1e-5).all(), (angles - ANGULAR[0] * elapsed).max()
        assert not self.faults


def pose_pipeline():
    count = len(CONTRACT.joints)
    settings = MotionSettings(
        ensemble_settings(count, never_averaged=CONTRACT.gripper_mask), 0.5, 5, 0.5, np.full(count, np.inf)
    )
    return Pipeline(CONTRACT.joints, CONTRACT.limits, CONTRACT.dt_ns, settings)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_target_is_faster_than_the_limits_however_late_a_plan_is(data):
    """Random policies, pauses after which the stream had ended, holds; each plan is late by its own time."""
    with pytest.MonkeyPatch.context() as patch:
        line, pipeline = Timeline(patch), pose_pipeline()
        pipeline.start(REST, line.node.now_ns)
        rng = np.random.default_rng(data.draw(st.integers(0, 999)))
        reach = np.tile([0.4, 0.4, 0.3, 1.5, 1.5, 1.5, 0.0], 2)
        for _ in range(data.draw(st.integers(2, 8))):
            now_ns = line.node.now_ns
            if pipeline.state is MotionState.HOLD:
                if line.targets.has_joined and pipeline.resume(now_ns):
                    line.targets.begin()
                plan = None
            elif data.draw(st.integers(0, 4)) == 0:
                plan = pipeline.hold("a test", now_ns)
            else:
                to = REST + rng.uniform(-reach, reach)
                way = pipeline.plan.sample_at(now_ns)[0] + np.linspace(0.0, 1.0, 31)[:, None] * (to - REST)
                plan = pipeline.add_chunk(Chunk(now_ns, CONTRACT.dt_ns, way), now_ns)
            line.run(data.draw(st.sampled_from([0, 10, 50, 100, 200, 400])))
            if plan is not None:
                line.send(plan)
            line.run(data.draw(st.sampled_from([0, 10, 50, 100, 300, 1500])))
        line.run(3000)
        line.check()
        x = np.array([message.pose.position.x for message in line.sink.messages])  # (N,)
        assert (np.abs(x) <= CONTRACT.limits.position_max[0] + 2e-3).all(), "it stays in the workspace"
        if (last := pipeline.plan).end_ns <= line.node.now_ns and line.sink.messages:
            assert x[-1] == pytest.approx(last.positions[-1, 0], abs=1e-5), "it ends where the last plan ends"


@pytest.mark.parametrize("by_ms", [-2000, -150, 150, 2000])
def test_a_clock_that_is_set_makes_no_step(monkeypatch, by_ms):
    line = Timeline(monkeypatch)
    line.run(100)
    line.send(plan(line.node.now_ns, 3.0, speed=0.25))
    line.run(1000)
    line.node.now_ns += by_ms * 1_000_000
    line.run(500)
    line.check()
    still = plan(line.node.now_ns, 0.0, speed=0.0)
    line.send(still)
    line.run(4000)
    line.check()
    assert line.sink.messages[-1].pose.position.x == pytest.approx(REST[0], abs=1e-5)
