# SPDX-License-Identifier: Apache-2.0
"""Poses in messages: what is read, what is refused, and that both directions agree."""

import numpy as np
import pytest

pytest.importorskip("geometry_msgs", reason="ROS is not installed")
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from pose_robot import pose_contract, pose_mapping

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.poses import PoseReader, pose_message

NAME = "left_pose_controller"


def reader(**limits: float) -> tuple[PoseReader, PoseStamped]:
    """The reader of the left arm, and the message of a pose within its workspace."""
    mapping = pose_mapping()
    mapping["limits"]["left_ee"] |= limits
    contract = parse_contract(mapping, "test") if limits else pose_contract()
    arm = contract.controller(NAME).pose
    assert arm is not None
    return PoseReader(contract, contract.controller(NAME)), pose_message(arm, np.zeros(6), Time())


def turned(angle: float) -> np.ndarray:
    """Coordinates of a pose that is turned about a slanted axis [rad]."""
    return np.array([0.4, -0.1, 0.3, *(angle * np.array([0.6, -0.64, 0.48]))])


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("angle", [0.0, 1e-6, 1.0, 2.9, 3.05])
def test_a_pose_is_the_same_in_both_directions_whatever_the_quaternions_sign(sign, angle):
    contract = pose_contract()
    arm = contract.controller(NAME).pose
    assert arm is not None
    message = pose_message(arm, turned(angle), Time(sec=3))
    turn = message.pose.orientation
    turn.x, turn.y, turn.z, turn.w = sign * turn.x, sign * turn.y, sign * turn.z, sign * turn.w
    np.testing.assert_allclose(
        PoseReader(contract, contract.controller(NAME))(message), turned(angle), atol=1e-9
    )
    assert message.header.frame_id == "world" and message.header.stamp.sec == 3


def test_an_arm_that_was_led_to_the_edge_of_its_workspace_can_be_read():
    """Chunks may ask for 0.1 rad more than max_rotation; an arm that is not read holds for ever."""
    read, _ = reader(max_rotation=3.0)
    arm = pose_contract().controller(NAME).pose
    assert arm is not None
    assert read(pose_message(arm, turned(3.09), Time())) == pytest.approx(turned(3.09))
    with pytest.raises(StreamError, match=r"turned by 3.12 rad .* beyond the 3.1 rad"):
        read(pose_message(arm, turned(3.12), Time()))


@pytest.mark.parametrize(
    ("part", "name", "value", "reason"),
    [
        ("header", "frame_id", "base_link", "in frame 'base_link', but the contract gives left_ee the frame"),
        ("position", "y", float("nan"), "the position of left_ee is not finite"),
        ("orientation", "w", float("nan"), "the orientation of left_ee.*length 1"),
        ("orientation", "w", 7.0, "the orientation of left_ee.*length 1"),
    ],
)
def test_what_is_no_pose_of_the_arm_is_refused(part, name, value, reason):
    read, message = reader()
    assert read(message) == pytest.approx(np.zeros(6))
    place = message.header if part == "header" else getattr(message.pose, part)
    setattr(place, name, value)
    with pytest.raises(StreamError, match=reason):
        read(message)
