# SPDX-License-Identifier: Apache-2.0
"""Messages are converted exactly, and errors about unusable ones give the reason."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import JointState

from dit_policy_ros.core.contract import parse_mapping
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.common import JointStateConverter, JointStateReader, stamp_ns, to_stamp


@pytest.mark.parametrize("ns", [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789])
def test_stamps_survive_a_round_trip(ns: int) -> None:
    assert stamp_ns(to_stamp(ns)) == ns


def joint_state(names: list[str], positions: list[float]) -> JointState:
    return JointState(name=names, position=positions)


def test_joints_are_found_by_name_in_any_order() -> None:
    converter = JointStateConverter(["a", "b", "c"])
    np.testing.assert_array_equal(
        converter(joint_state(["c", "x", "a", "b"], [3.0, 9.0, 1.0, 2.0])), [1, 2, 3]
    )
    np.testing.assert_array_equal(converter(joint_state(["a", "b", "c"], [4.0, 5.0, 6.0])), [4, 5, 6])


def test_nan_in_joints_outside_the_contract_is_ignored() -> None:
    np.testing.assert_array_equal(JointStateConverter(["a"])(joint_state(["x", "a"], [np.nan, 1.0])), [1.0])


@pytest.mark.parametrize(
    ("names", "positions", "fragments"),
    [
        (["a"], [1.0], ["lacks left_b", "it has: a"]),
        (["a", "left_bb"], [1.0, 2.0], ["lacks left_b", "Did you mean 'left_bb'?", "Set 'joints'"]),
        (["a", "left_b"], [1.0], ["2 names but 1 positions"]),
        (["a", "left_b", "a"], [1.0, 2.0, 3.0], ["names a more than once"]),
        (["left_b", "a"], [np.nan, 2.0], ["not finite: left_b = nan"]),
        (["left_b", "a"], [1.0, np.inf], ["not finite: a = inf"]),
        ([], [], ["lacks a, left_b"]),
    ],
)
def test_errors_about_unusable_joint_states_give_the_reason(
    names: list[str], positions: list[float], fragments: list[str]
) -> None:
    with pytest.raises(StreamError) as caught:
        JointStateConverter(["a", "left_b"])(joint_state(names, positions))
    for fragment in fragments:
        assert fragment in str(caught.value)


def reader(entries: tuple[str, ...] = (), prefix: str = "") -> JointStateReader:
    return JointStateReader(parse_mapping(entries, ("a", "b", "c"), ""), prefix)


def test_a_message_may_have_some_of_the_joints_in_any_order_and_among_others() -> None:
    read = reader()
    joints, positions = read(joint_state(["c", "wheel", "a"], [3.0, np.nan, 1.0]))
    assert joints == (0, 2) and positions.tolist() == [1.0, 3.0] and read.others == ("wheel",)
    joints, positions = read(joint_state(["b"], [2.0]))
    assert joints == (1,) and positions.tolist() == [2.0] and read.others == ()
    assert read(joint_state(["wheel"], [1.0]))[0] == ()
    assert read(joint_state([], []))[0] == ()


def test_only_positions_are_needed() -> None:
    """Many drivers publish neither velocities nor efforts, or fewer of them than names."""
    message = JointState(name=["a", "b", "c"], position=[1.0, 2.0, 3.0], velocity=[], effort=[0.1])
    assert reader()(message)[1].tolist() == [1.0, 2.0, 3.0]


def test_arms_with_equal_names_are_told_apart_by_a_prefix() -> None:
    mapping = parse_mapping(["a = left_waist * 2", "b = right_waist"], ("a", "b"), "")
    left, right = JointStateReader(mapping, "left_"), JointStateReader(mapping, "right_")
    message = joint_state(["waist", "elbow"], [1.5, 0.0])
    assert left(message)[0] == (0,) and left(message)[1].tolist() == [3.0]
    assert right(message)[0] == (1,) and right(message)[1].tolist() == [1.5]
    assert left.others == ("left_elbow",)


def test_two_joints_may_come_from_one_value() -> None:
    joints, positions = reader(("a = finger", "b = finger * -1"))(joint_state(["finger", "c"], [0.5, 1.0]))
    assert joints == (0, 1, 2) and positions.tolist() == [0.5, -0.5, 1.0]


@pytest.mark.parametrize(
    ("names", "positions", "fragment"),
    [
        (["a", "b"], [1.0], "2 names but 1 positions"),
        (["a"], [], "1 names but 0 positions"),
        (["a", "a"], [1.0, 2.0], "names a more than once"),
        (["b", "a"], [np.nan, 2.0], "not finite: b = nan"),
    ],
)
def test_errors_about_partial_joint_states_give_the_reason(
    names: list[str], positions: list[float], fragment: str
) -> None:
    with pytest.raises(StreamError, match=fragment):
        reader()(joint_state(names, positions))
