# SPDX-License-Identifier: Apache-2.0
"""How the policy node infers: what it was asked for, what it says of it, and what it refuses."""

import contextlib
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from small_robot import SmallRobot, parameters, spinning_together, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.policy import policy_options
from dit_policy_ros.ros.policy._inference_parameters import INFERENCE_PARAMETERS
from dit_policy_ros.ros.policy.policy_node import PolicyNode


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@contextlib.contextmanager
def configured(checkpoint, **changes):
    robot = SmallRobot()
    robot.frames_differ = True
    node = PolicyNode(parameter_overrides=parameters(checkpoint=str(checkpoint), **changes))
    newest = {}
    robot.create_subscription(PolicyStatus, "/policy/status", lambda m: newest.update(status=m), 10)
    with spinning_together(robot, node):
        node.trigger_configure()
        yield node, newest


def activate(node, newest):
    wait_for(lambda: node.trigger_activate() and newest["status"].plans >= 3, 15.0, "three plans")


def test_each_chunk_goes_on_from_what_is_being_executed(ros_domain, checkpoint):
    with configured(checkpoint, real_time_chunking=True, warm_start=2, max_latency=0.5) as (node, newest):
        policy = node._configured.policy
        seen = []
        predict = policy.predict

        def watched(*arguments, previous=None, **options):
            seen.append((node._configured.motion.epoch, previous, node._configured.motion.pipeline.plan))
            return predict(*arguments, previous=previous, **options)

        policy.predict = watched
        activate(node, newest)
        wait_for(lambda: sum(known is not None for _, known, _ in seen) >= 5, 15.0, "continuations")
        assert seen[0][1] is None, "the first chunk has nothing to go on from"
        known = [known for _, known, _ in seen if known is not None]
        for each in known:
            assert each.actions.shape == (policy.horizon, policy.action_dim)
            assert policy.n_obs_steps <= each.committed <= policy.horizon
            assert np.isfinite(each.actions[policy.n_obs_steps]).all()
        status = newest["status"]
        assert status.backend == policy.backend and status.backend.startswith("eager float32")
        assert status.missed_latencies <= status.chunks


def test_inferences_that_take_too_long_are_counted(ros_domain, checkpoint):
    with configured(checkpoint, max_latency=0.3, plan_horizon=2.0) as (node, newest):
        policy = node._configured.policy
        predict = policy.predict

        def slow(*arguments, **options):
            threading.Event().wait(0.35)
            return predict(*arguments, **options)

        policy.predict = slow
        activate(node, newest)
        wait_for(lambda: newest["status"].missed_latencies >= 3, 15.0, "misses")
        assert newest["status"].missed_latencies <= newest["status"].chunks


def test_replans_are_as_far_apart_as_asked_by_the_stamps_of_what_they_saw(ros_domain, checkpoint):
    with configured(checkpoint, replan_interval=0.3) as (node, newest):
        policy, stamps = node._configured.policy, []
        predict = policy.predict

        def watched(*arguments, **options):
            stamps.append(node._active.worker.figures.newest_stamp_ns)  # of the chunk before
            return predict(*arguments, **options)

        policy.predict = watched
        activate(node, newest)
        wait_for(lambda: len(stamps) >= 8, 20.0, "chunks")
        gaps = np.diff(stamps[2:]) * 1e-9  # [s]
        half = 0.5 / policy.fps
        assert gaps.min() > 0.3 - half - 1e-6
        # A clock that asks whether 0.3 s have passed finds that only at the next image, or at an old one.
        assert np.median(gaps) < 0.3 + half


def test_frames_are_read_between_chunks_where_that_is_asked_for(ros_domain, checkpoint):
    with configured(checkpoint, encode_on_arrival=True, replan_interval=0.3) as (node, newest):
        policy = node._configured.policy
        predict, new_frames = policy.predict, []

        def watched(*arguments, **options):
            before = policy.engine.frames.encoded
            actions = predict(*arguments, **options)
            new_frames.append(policy.engine.frames.encoded - before)
            return actions

        policy.predict = watched
        activate(node, newest)
        wait_for(lambda: 0 in new_frames, 15.0, "a chunk whose frames are known already")


def test_otherwise_each_chunk_reads_the_frames_that_are_new(ros_domain, checkpoint):
    with configured(checkpoint, replan_interval=0.3) as (node, newest):
        activate(node, newest)
        chunks = newest["status"].chunks
        wait_for(lambda: newest["status"].chunks >= chunks + 3, 15.0, "more chunks")
        assert node._configured.policy.engine.frames.encoded >= newest["status"].chunks


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"backend": "cuda_graphs"}, "backend 'cuda_graphs' needs a GPU, but the device is 'cpu'"),
        ({"dtype": "float16"}, "dtype 'float16' is not available: on a CPU it would be slower than float32"),
        ({"backend": "onnx"}, "backend: expected one of: "),
        ({"warm_start": 1000}, "warm_start: expected 0 (off) to the number of steps"),
        ({"max_latency": 1e-6}, "max_latency: one denoising step takes"),
        ({"block_cache": True}, "block_cache.json does not exist; make one with `dit_policy block_cache`"),
        ({"device": "cuda:77"}, "got 'cuda:77', but torch"),
    ],
)
def test_what_cannot_be_had_is_refused_before_the_first_inference(
    ros_domain, checkpoint, capfd, changes, expected
):
    with configured(checkpoint, **changes) as (node, _):
        assert node._configured is None
    assert expected in capfd.readouterr().err


def test_an_option_that_needs_a_motion_is_refused_with_stop_and_go():
    settings = {parameter.name: parameter.default for parameter in INFERENCE_PARAMETERS}
    assert policy_options(settings | {"pacing": "stop_and_go"})["warm_start"] == 0
    for changes in ({"warm_start": 3}, {"real_time_chunking": True}):
        assert policy_options(settings | changes | {"pacing": "continuous"})
        with pytest.raises(ParameterError, match="nothing is executed while a chunk is inferred"):
            policy_options(settings | changes | {"pacing": "stop_and_go"})
