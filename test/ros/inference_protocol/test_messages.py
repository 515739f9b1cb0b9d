# SPDX-License-Identifier: Apache-2.0
"""Requests, answers, descriptions and streams survive the way through a message, and bad ones are refused."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rclpy.serialization import deserialize_message, serialize_message

from dit_policy_ros.core.policy_interface import VectorInput
from dit_policy_ros.core.sensing import StreamBuffer, StreamSettings
from dit_policy_ros.msg import ActionChunk, InferenceRequest
from dit_policy_ros.ros.inference_protocol import (
    Answer,
    Committed,
    Latencies,
    PolicyDescription,
    RemoteStream,
    Request,
    answer_from,
    answer_message,
    description_from,
    fill_response,
    inference_node_name,
    request_from,
    request_message,
    stream_state,
)
from dit_policy_ros.srv import DescribePolicy

NOW = 1_790_000_000_123_456_789
PERIOD = 33_333_333


def same(a, b) -> bool:
    """Whether two data classes are equal, arrays bit for bit."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)
        )
    return a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b


def through(message, kind):
    return deserialize_message(serialize_message(message), kind)


@pytest.mark.parametrize("known", [False, True])
def test_a_request_survives(known):
    actions = np.random.default_rng(0).normal(size=(20, 4))
    actions[0] = np.nan
    committed = Committed(NOW - PERIOD, PERIOD // 4, 7_000, actions) if known else None
    request = Request(2**61 + 1, 2**62, True, 3, "touch the red cube", NOW, NOW + 5, committed)
    assert same(request_from(through(request_message(request, NOW), InferenceRequest)), request)


@pytest.mark.parametrize("problem", ["", "inference failed: RuntimeError: no"])
def test_an_answer_survives(problem):
    actions = np.random.default_rng(1).normal(size=(31, 3)).astype(np.float32)
    answer = Answer(
        1, 2, 3, "ab", problem, NOW, PERIOD, ("a", "b", "c"), None if problem else actions, 2**62, "a is far",
        0.25, Latencies(0.1, 0.2, 0.3, 0.4),
    )  # fmt: skip
    assert same(answer_from(through(answer_message(answer), ActionChunk)), answer)


@pytest.mark.parametrize(
    ("rows", "joints", "values"), [(3, 2, 5), (0, 2, 0), (3, 0, 0), (2**32 - 1, 3, 6), (1, 2, 4)]
)
def test_actions_of_another_shape_are_refused(rows, joints, values):
    message = ActionChunk(rows=rows, joints=[f"j{i}" for i in range(joints)], actions=[0.0] * values)
    with pytest.raises(ValueError, match="rows of"):
        answer_from(message)


@pytest.mark.parametrize(
    "changes", [{"committed": [0.0] * 7}, {"committed": [0.0] * 8, "committed_period": 0.0}, {}]
)
def test_committed_actions_of_another_shape_are_refused(changes):
    with pytest.raises(ValueError, match=r"rows|reshape"):
        request_from(InferenceRequest(committed_columns=4, **changes))


def test_a_description_survives_and_one_that_contradicts_itself_is_refused():
    described = PolicyDescription(
        session=5, policy="ab", checkpoint="/x", description="d", device="cpu", backend="eager", host="h",
        steps=3, uses_previous=True, fps=30.0, joint_names=("a",), vectors=(VectorInput("effort", 3),),
        action_names=None, known_tasks=("t",),
        image_shapes={"top": (30, 40)}, state_dim=1, action_dim=1, n_obs_steps=2, horizon=32,
        latency_p95=0.1, parameters={"device": "cpu", "assume_joints": [""]},
    )  # fmt: skip
    response = DescribePolicy.Response()
    fill_response(described, response)
    assert description_from(response) == described and response.success
    response.n_obs_steps = 33
    with pytest.raises(ValueError, match="horizon"):
        description_from(response)
    response.n_obs_steps, response.heights = 2, [30, 30]
    with pytest.raises(ValueError, match="zip"):
        description_from(response)


def test_a_stream_looks_from_afar_as_it_does_there():
    settings = StreamSettings("top", 0.5, 10, topic="top/image_raw")
    stream, remote = StreamBuffer(settings), RemoteStream(settings)
    for stamp in (1000, 3000, 2000, 3000):
        stream.push(stamp, None, 5000)
    stream.refuse("too short", 6000)
    remote.update(stream_state(stream, "frozen", 12.5))
    assert remote.refusal == "too short" and remote.counters.refused == 1
    assert remote.counters == stream.counters and remote.newest_stamp_ns == 3000
    assert (remote.problem, remote.bytes_per_second) == ("frozen", 12.5)
    stream.clear()
    remote.update(stream_state(stream))
    assert remote.newest_stamp_ns is None and remote.problem == ""


def line(times_ns: np.ndarray) -> np.ndarray:
    """A straight line of two joints (T, 2)."""
    seconds = (times_ns - NOW) * 1e-9
    return np.stack([seconds, -2.0 * seconds], axis=1)


@pytest.mark.parametrize("shift_ns", [0, 1, PERIOD // 3, PERIOD])
def test_committed_actions_are_interpolated_to_the_rows_of_the_observation(shift_ns):
    step = PERIOD // 4
    times = NOW + step * np.arange(60)
    committed = Committed(NOW, step, int(times[20] - NOW), line(times))
    first = NOW + shift_ns
    found = committed.continuation(NOW, first, 0, PERIOD, 12)
    later = committed.continuation(NOW + 2 * PERIOD, first, 0, PERIOD, 12)
    assert later.committed == found.committed + 2, "what is executed until the chunk comes"
    rows = first + PERIOD * np.arange(12)
    np.testing.assert_allclose(found.actions, line(rows), atol=1e-9)
    assert found.committed == (rows <= times[20]).sum()


def test_rows_outside_what_is_committed_are_unknown():
    step = PERIOD // 4
    actions = line(NOW + step * np.arange(20))
    actions[:3] = np.nan
    committed = Committed(NOW, step, 10 * step, actions)
    found = committed.continuation(NOW, NOW, PERIOD, PERIOD, 10)
    known = ~np.isnan(found.actions).any(axis=1)
    times = NOW - PERIOD + PERIOD * np.arange(10)
    assert known.tolist() == [bool(NOW + 3 * step <= t <= NOW + 19 * step) for t in times]
    slow = Committed(NOW - PERIOD, step, -5 * PERIOD, line(NOW - PERIOD + step * np.arange(60)))
    assert slow.continuation(NOW, NOW, PERIOD, PERIOD, 5).committed == 2, "up to the observation at least"
    assert committed.continuation(NOW, NOW + 40 * PERIOD, 0, PERIOD, 5) is None
    exact = Committed(NOW, PERIOD, 0, np.array([[1.0], [np.nan]]))
    assert exact.continuation(NOW, NOW, 0, PERIOD, 1).actions.tolist() == [[1.0]], "beside an unknown row"


def test_inference_nodes_of_two_policy_nodes_have_different_names():
    assert inference_node_name("policy") == "inference"
    assert inference_node_name("arm_policy") == "arm_policy_inference"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.001, 1e300])
@pytest.mark.parametrize("name", ["period", "observation_age", "waiting", "reading", "encoding", "sampling"])
def test_an_answer_with_a_time_that_cannot_be_is_malformed(name, value):
    message = answer_message(Answer(1, 2, 3, "hash", stamp_ns=NOW, period_ns=PERIOD, problem="none"))
    answer_from(message)
    setattr(message, name, value)
    with pytest.raises(ValueError, match=name):
        answer_from(message)
