# SPDX-License-Identifier: Apache-2.0
"""Further vectors are observed by the rule of the joint states: by stamp, interpolated, stale when old."""

import numpy as np
import pytest
from contracts import small_mapping

from dit_policy_ros.core.contract import QUATERNION, parse_contract
from dit_policy_ros.core.errors import StaleObservation
from dit_policy_ros.core.sensing import ObservationBuilder, unit_quaternion

MS = 1_000_000
START = 1_700_000_000_000 * MS
VECTORS = {
    "names": ["force", "imu"],
    "force": {
        "topic": "force", "type": "std_msgs/msg/Float64MultiArray", "size": 2, "max_age": 0.1,
    },
    "imu": {
        "topic": "imu", "type": "sensor_msgs/msg/Imu", "max_age": 0.3,
        "entries": ["angular_velocity.z", *QUATERNION],
    },
}  # fmt: skip
CONTRACT = parse_contract(small_mapping(vectors=VECTORS), "test")


def force(time_ns: int) -> np.ndarray:
    return np.array([1.0, -2.0]) * ((time_ns - START) / (1000 * MS)) + 3.0


def turned(angle: float) -> np.ndarray:
    """An IMU's entries: its rate, and a turn about z by an angle [rad]."""
    quaternion = np.array([0.0, 0.0, np.sin(angle / 2), np.cos(angle / 2)])
    return np.array([angle, *unit_quaternion(quaternion)])


def fill(builder: ObservationBuilder, until_ms: int = 300) -> int:
    for ms in range(0, until_ms, 10):
        stamp = START + ms * MS
        builder.joints.push(stamp, np.full(3, ms / 1000))
        for name, stream in builder.vectors.items():
            stream.push(stamp, force(stamp) if name == "force" else turned(ms / 100))
    for stream in builder.images.values():
        for index in range(until_ms * 30 // 1000 + 1):
            stream.push(START + index * 1000 * MS // 30, f"{stream.name} {index}")
    return START + (until_ms - 10) * MS


def test_the_state_is_the_joints_and_then_the_vectors_that_are_asked_for() -> None:
    builder = ObservationBuilder(CONTRACT, 2, vectors=["force"])
    now = fill(builder)
    observation = builder.build(now)
    assert observation.state.shape == (2, 5)
    for row, offset in enumerate((CONTRACT.dt_ns, 0)):
        np.testing.assert_allclose(
            observation.state[row, 3:], force(observation.stamp_ns - offset), atol=1e-6
        )


def test_no_vector_is_read_that_is_not_asked_for() -> None:
    builder = ObservationBuilder(CONTRACT, vectors=())
    fill(builder)
    assert set(builder.vectors) == set()
    assert builder.build(START + 290 * MS).state.shape == (1, 3)


def test_a_frame_has_all_vectors_interpolated_to_its_time_as_the_joints() -> None:
    builder = ObservationBuilder(CONTRACT)
    fill(builder)
    frame = builder.sample_at(START + 123 * MS)
    np.testing.assert_allclose(frame.vectors["force"], force(START + 123 * MS), atol=1e-9)
    np.testing.assert_allclose(frame.state, np.full(3, 0.123), atol=1e-9)
    assert frame.vector_distances == pytest.approx({"force": 0.003, "imu": 0.003})


def test_an_orientation_is_interpolated_the_short_way_where_its_sign_changes() -> None:
    """A turn passes pi between two samples: there the one form of q becomes that of -q."""
    builder = ObservationBuilder(CONTRACT)
    stream = builder.vectors["imu"]
    stream.push(START, turned(np.pi - 0.1))
    stream.push(START + 10 * MS, turned(np.pi + 0.1))
    fill_other = [stream for stream in builder.streams if stream.name != "imu"]
    for other in fill_other:
        other.push(START, np.zeros(2 if other.name == "force" else 3))
    values = builder.sample_at(START + 6 * MS).vectors["imu"][1:]
    expected = turned(np.pi + 0.02)[1:]
    assert abs(values @ expected) == pytest.approx(1.0, abs=1e-4)
    assert np.linalg.norm(values) == pytest.approx(1.0)


def test_a_stale_vector_makes_the_observation_stale_and_is_named() -> None:
    builder = ObservationBuilder(CONTRACT)
    fill(builder)
    for ms in range(300, 450, 10):
        for stream in (*builder.images.values(), builder.joints, builder.vectors["imu"]):
            stream.push(START + ms * MS, np.zeros(3) if stream is builder.joints else turned(0.0))
    with pytest.raises(
        StaleObservation, match=r"'force' \(force\): newest sample is .*vectors.force.max_age"
    ):
        builder.observation_stamp(START + 440 * MS)


def test_a_stream_of_unusable_messages_says_why() -> None:
    builder = ObservationBuilder(CONTRACT)
    stream = builder.vectors["force"]
    stream.refuse("the array has 3 values, expected 2", START)
    stream.refuse("the array has 3 values, expected 2", START)
    assert "2 messages that cannot be used: the array has 3 values" in builder.stale(START)["force"]
    stream.push(START, np.zeros(2), START)
    stream.refuse("broken", START + 100 * MS)
    assert "Since then came 1 message that cannot be used: broken" in builder.stale(START + 600 * MS)["force"]
    assert stream.counters.refused == 3
    stream.push(START + 610 * MS, np.zeros(2), START + 610 * MS)
    assert "force" not in builder.stale(START + 620 * MS)


def test_a_frame_is_final_only_when_its_vectors_are() -> None:
    builder = ObservationBuilder(CONTRACT)
    fill(builder)
    stamp = START + 250 * MS
    assert builder.is_settled(stamp, START + 300 * MS)
    builder.vectors["force"].clear()
    builder.vectors["force"].push(stamp - 5 * MS, np.zeros(2))
    assert not builder.is_settled(stamp, START + 300 * MS)
