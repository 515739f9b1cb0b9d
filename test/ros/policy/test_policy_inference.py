# SPDX-License-Identifier: Apache-2.0
"""Inference in the policy node: its parameters, what it reports, and what it refuses."""

import contextlib
import re
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from policy_watch import running
from ros_testing import call
from small_robot import SmallRobot, parameters, policy_node, spinning_together
from std_srvs.srv import Trigger
from waiting import wait_for

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.inference_protocol import policy_options
from dit_policy_ros.ros.policy import POLICY_PARAMETERS


@contextlib.contextmanager
def configured(checkpoint, **changes):
    robot = SmallRobot()
    robot.frames_differ = True
    node = policy_node(parameters(checkpoint=str(checkpoint), **changes))
    newest = {}
    robot.create_subscription(PolicyStatus, "/policy/status", lambda m: newest.update(status=m), 10)
    with spinning_together(robot, node):
        node.trigger_configure()
        yield node, newest


def activate(node, newest):
    wait_for(lambda: node.trigger_activate() and newest["status"].plans >= 3, 15.0, "three plans")


def test_each_chunk_continues_the_motion_being_executed(ros_domain, checkpoint):
    with configured(checkpoint, real_time_chunking=True, warm_start=2, max_latency=0.5) as (node, newest):
        policy = node.inference.configured.policy
        seen = []
        predict = policy.predict

        def watched(*arguments, previous=None, **options):
            seen.append(previous)
            return predict(*arguments, previous=previous, **options)

        policy.predict = watched
        activate(node, newest)
        wait_for(lambda: sum(each is not None for each in seen) >= 5, 15.0, "five continued chunks")
        assert seen[0] is None, "the first chunk continues nothing"
        for previous in (each for each in seen if each is not None):
            assert previous.actions.shape == (policy.horizon, policy.action_dim)
            assert policy.n_obs_steps <= previous.committed <= policy.horizon
            assert np.isfinite(previous.actions[policy.n_obs_steps]).all()
        status = newest["status"]
        assert status.backend == policy.backend and status.backend.startswith("eager float32")
        assert status.missed_latencies <= status.chunks


@pytest.mark.slow
def test_inferences_above_max_latency_are_counted(ros_domain, checkpoint):
    with configured(checkpoint, max_latency=0.3, plan_horizon=2.0) as (node, newest):
        policy = node.inference.configured.policy
        predict = policy.predict

        def slow(*arguments, **options):
            threading.Event().wait(0.35)
            return predict(*arguments, **options)

        policy.predict = slow
        activate(node, newest)
        wait_for(lambda: newest["status"].missed_latencies >= 3, 15.0, "three missed latencies")
        assert newest["status"].missed_latencies <= newest["status"].chunks


@pytest.mark.slow
def test_replan_interval_is_kept_between_the_stamps_of_observations(ros_domain, checkpoint):
    with configured(checkpoint, replan_interval=0.3) as (node, newest):
        policy, stamps = node.inference.configured.policy, []
        predict = policy.predict

        def watched(*arguments, **options):
            stamps.append(node.state.configured.link.figures.newest_stamp_ns)  # of the previous chunk
            return predict(*arguments, **options)

        policy.predict = watched
        activate(node, newest)
        half = 0.5 / policy.fps

        def gaps() -> np.ndarray:
            return np.diff(stamps[2:]) * 1e-9  # [s]

        # A timer of 0.3 s would expire between two images, and wait for the next one or use an old one.
        # A busy computer may be late at times, but is never early.
        wait_for(lambda: (gaps() < 0.3 + half).sum() >= 4, 30.0, "chunks 0.3 s after the ones before")
        assert gaps().min() > 0.3 - half - 1e-6


@pytest.mark.slow
def test_encode_on_arrival_encodes_frames_between_chunks(ros_domain, checkpoint):
    with configured(checkpoint, encode_on_arrival=True, replan_interval=0.3) as (node, newest):
        policy = node.inference.configured.policy
        predict, new_frames = policy.predict, []

        def watched(*arguments, **options):
            before = policy.engine.frames.encoded
            actions = predict(*arguments, **options)
            new_frames.append(policy.engine.frames.encoded - before)
            return actions

        policy.predict = watched
        activate(node, newest)
        wait_for(lambda: 0 in new_frames, 15.0, "a chunk whose frames are encoded already")


@pytest.mark.slow
def test_by_default_each_chunk_encodes_its_new_frames(ros_domain, checkpoint):
    with configured(checkpoint, replan_interval=0.3) as (node, newest):
        activate(node, newest)
        chunks = newest["status"].chunks
        wait_for(lambda: newest["status"].chunks >= chunks + 3, 15.0, "more chunks")
        assert node.inference.configured.policy.engine.frames.encoded >= newest["status"].chunks


def test_a_joint_far_outside_the_training_data_is_limited_reported_and_then_a_hold(ros_domain, checkpoint):
    newest: dict[str, DiagnosticStatus] = {}
    with running(checkpoint) as watch:
        watch.robot.create_subscription(
            DiagnosticArray,
            "/diagnostics",
            lambda m: newest.update({entry.name: entry for entry in m.status}),
            qos.DIAGNOSTICS,
        )
        wait_for(lambda: "policy: inference" in newest, 10.0, "the first report")
        assert {v.key: v.value for v in newest["policy: inference"].values}["unseen_state"] == ""
        watch.robot.positions["right_gripper"] = 0.1  # 0 to 0.04 in the training data
        words = "right_gripper is at 0.1, which is 0.06 outside the range of the training data, 0 to 0.04"
        wait_for(lambda: words in newest["policy: inference"].message, 10.0, "the report")
        assert newest["policy: inference"].level == DiagnosticStatus.WARN
        assert watch.status.state == PolicyStatus.RUNNING
        watch.robot.positions["right_gripper"] = 1.0
        watch.wait_hold("inference refused its input: state: right_gripper is at ")
        # At the time of an image it may be anywhere between the two samples.
        told = re.search(r"is at ([\d.]+), which is ([\d.]+) outside", watch.status.hold_reason)
        assert 0.1 < float(told[1]) <= 1.0 and float(told[2]) == pytest.approx(
            float(told[1]) - 0.04, abs=2e-3
        )
        assert "unseen_state" in watch.status.hold_reason and not watch.status.hold_recoverable
        watch.robot.positions["right_gripper"] = 0.02

        def resumed():  # an observation reaches back: the first one may still have the old position
            if watch.status.state == PolicyStatus.HOLD:
                call(watch.robot, Trigger, "/policy/resume", Trigger.Request())
            return watch.status.state == PolicyStatus.RUNNING

        wait_for(resumed, 20.0, "motion goes on", 0.2)
        wait_for(lambda: newest["policy: inference"].message == "keeps up", 10.0, "no finding is left")


@pytest.mark.slow
def test_unseen_state_limit_goes_on(ros_domain, checkpoint):
    with running(checkpoint, unseen_state="limit") as watch:
        watch.robot.positions["right_gripper"] = 1.0
        policy = watch.policy
        wait_for(lambda: "right_gripper is at 1," in policy.unseen_state, 10.0, "the policy sees it")
        plans = watch.status.plans
        wait_for(lambda: watch.status.plans >= plans + 3, 10.0, "plans")
        assert watch.status.state == PolicyStatus.RUNNING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"unseen_state": "ignore"}, "unseen_state: expected one of: "),
        ({"backend": "cuda_graphs"}, "backend 'cuda_graphs' needs a GPU, but the device is 'cpu'"),
        ({"dtype": "float16"}, "dtype 'float16' is not available: on a CPU it would be slower than float32"),
        ({"backend": "onnx"}, "backend: expected one of: "),
        ({"warm_start": 1000}, "warm_start: expected 0 (off) to the number of steps"),
        ({"max_latency": 1e-6}, "max_latency: one denoising step takes"),
        ({"block_cache": True}, "block_cache.json does not exist; make one with `dit_policy block_cache`"),
        ({"device": "cuda:77"}, "got 'cuda:77', but torch"),
    ],
)
def test_options_that_are_not_available_are_refused_at_configure(
    ros_domain, checkpoint, capfd, changes, expected
):
    with configured(checkpoint, **changes) as (node, _):
        assert node.state.configured is None
    assert expected in capfd.readouterr().err


def test_options_that_continue_a_motion_are_refused_with_stop_and_go():
    settings = {parameter.name: parameter.default for parameter in POLICY_PARAMETERS}
    assert policy_options(settings | {"pacing": "stop_and_go"})["warm_start"] == 0
    for changes in ({"warm_start": 3}, {"real_time_chunking": True}):
        assert policy_options(settings | changes | {"pacing": "continuous"})
        with pytest.raises(ParameterError, match="nothing is executed while a chunk is inferred"):
            policy_options(settings | changes | {"pacing": "stop_and_go"})


def test_the_line_after_configure_is_for_who_runs_the_robot(ros_domain, checkpoint, capfd):
    with configured(checkpoint) as (node, _):
        policy = node.inference.configured.policy
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "configured: " in line]
    for part in (str(checkpoint), "on cpu", policy.backend, "it reads top", "chunk covers 1 s", "it knows: "):
        assert part in line
    assert policy.description not in line and "observation steps" not in line
