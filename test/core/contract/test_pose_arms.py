# SPDX-License-Identifier: Apache-2.0
"""A contract may have arms whose controllers take poses: checks, limits in every direction, entries."""

from typing import Any

import numpy as np
import pytest
from pose_robot import ANGULAR, DOWN, LINEAR, pose_contract, pose_mapping

from dit_policy_ros.core.contract import ControllerType, parse_contract
from dit_policy_ros.core.errors import ContractError, PoseError

LEFT = "left_pose_controller"


def test_an_arm_has_six_coordinates_and_nine_entries() -> None:
    contract = pose_contract()
    assert contract.joints == tuple(
        name
        for side in ("left", "right")
        for name in (*(f"{side}_ee.{axis}" for axis in ("x", "y", "z", "rx", "ry", "rz")), f"{side}_gripper")
    )
    assert contract.layout.names == tuple(
        name
        for side in ("left", "right")
        for name in (
            *(f"{side}_ee.{axis}" for axis in ("x", "y", "z", "r11", "r21", "r31", "r12", "r22", "r32")),
            f"{side}_gripper",
        )
    )
    assert contract.limits.prismatic.tolist() == [True] * 3 + [False] * 4 + [True] * 3 + [False] * 4
    assert contract.gripper_mask.tolist() == [False] * 6 + [True] + [False] * 6 + [True]
    left = contract.controller(LEFT)
    assert left.type is ControllerType.CARTESIAN_MOTION
    assert left.topic == f"{LEFT}/target_frame"
    assert left.pose is not None
    assert left.pose.state_topic == f"{LEFT}/current_pose"
    assert (left.pose.frame, left.pose.end_effector, left.pose.rate) == ("world", "left_tcp", 100.0)


def test_limits_hold_in_every_direction() -> None:
    limits = pose_contract().limits
    assert np.linalg.norm(limits.velocity[:3]) == pytest.approx(LINEAR[0])
    assert np.linalg.norm(limits.acceleration[:3]) == pytest.approx(LINEAR[1])
    assert np.linalg.norm(limits.velocity[3:6]) == pytest.approx(ANGULAR[0])
    turning = ANGULAR[0] ** 2 / np.pi
    assert np.linalg.norm(limits.acceleration[3:6]) == pytest.approx(ANGULAR[1] - turning)


def test_servo_needs_a_topic_of_the_measured_pose() -> None:
    mapping = pose_mapping()
    mapping["controllers"][LEFT]["type"] = "moveit_servo"
    with pytest.raises(ContractError, match="state_topic: expected the topic of the measured pose"):
        parse_contract(mapping, "")
    mapping["controllers"][LEFT]["state_topic"] = "/left/tcp_pose"
    controller = parse_contract(mapping, "").controller(LEFT)
    assert controller.topic == f"{LEFT}/pose_target_cmds"
    assert controller.pose is not None
    assert controller.pose.state_topic == "/left/tcp_pose"


def _limits(**values: Any) -> dict[str, Any]:
    return {"limits": {"left_ee": values}}


def _controller(**values: Any) -> dict[str, Any]:
    return {"controllers": {LEFT: values}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_limits(orientation=[0.0, 0.0, 0.0, 2.0]), "limits.left_ee.orientation: expected a quaternion"),
        (_limits(orientation=[0.0, 0.0, 1.0]), "limits.left_ee.orientation: expected a quaternion"),
        (_limits(max_rotation=3.3), "limits.left_ee.max_rotation: expected a number from 0.1 to 3"),
        (_limits(workspace_min=[0.0, 0.0]), "limits.left_ee.workspace_min: expected three numbers"),
        (_limits(workspace_min=[0.5, -0.4, 0.0]), "limits.left_ee.workspace_max: expected x above"),
        (_limits(workspace_max=[0.35, 0.45, 0.0]), "limits.left_ee.workspace_max: expected z above"),
        (_limits(linear_velocity=0.0), "limits.left_ee.linear_velocity: expected a number above 0 [m/s]"),
        (_limits(angular_acceleration=0.5), "limits.left_ee.angular_acceleration: expected at least 0.917"),
        (_limits(velocity=1.0), "limits.left_ee.velocity"),
        (_controller(joints=["left_ee", "right_ee"]), "joints: expected one name for the arm"),
        (_controller(gripper=True), "gripper: expected none"),
        (_controller(joint_names=["a"]), "joint_names: expected none"),
        (_controller(frame=""), "frame: expected the frame_id"),
        (_controller(frame="/base_link"), "frame: expected the frame_id"),
        (_controller(state_topic=f"/{LEFT}/target_frame"), f"is that of the commands of '{LEFT}'"),
        (_controller(state_topic="right_gripper_controller/joint_trajectory"), "'right_gripper_controller'"),
        (_controller(state_topic="/joint_states"), "which is that of the joint states"),
        (_controller(state_topic="right_pose_controller/current_pose"), f"the measured pose of '{LEFT}'"),
        (_controller(topic="/right_pose_controller/target_frame"), "a node and topic that no other"),
        (_controller(rate=5.0), "rate: expected a number from 10 to 1000 [Hz]"),
        (_controller(state_topic="not a topic"), "state_topic: expected the topic of the measured pose"),
        (
            {"controllers": {"left_gripper_controller": {"frame": "world"}}},
            "left_gripper_controller.frame: expected none, unless type is",
        ),
        ({"robot_names": ["left_ee = tool"]}, "robot_names: expected no entry for 'left_ee'"),
    ],
)  # fmt: skip
def test_mistakes_are_told(change: dict[str, Any], expected: str) -> None:
    mapping = pose_mapping()

    def merge(into: dict[str, Any], values: dict[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = value

    merge(mapping, change)
    with pytest.raises(ContractError) as caught:
        parse_contract(mapping, "my_robot.yaml")
    assert expected in str(caught.value)


def test_a_missing_limit_names_what_such_an_arm_needs() -> None:
    mapping = pose_mapping()
    del mapping["limits"]["left_ee"]
    with pytest.raises(
        ContractError, match=r"limits\.left_ee: expected a group with workspace_min, .*orientation"
    ):
        parse_contract(mapping, "")


def test_entries_and_coordinates_are_the_same_poses() -> None:
    contract = pose_contract()
    rng = np.random.default_rng(1)
    joints = rng.uniform(-0.4, 0.4, size=(50, 14))
    entries = contract.layout.to_entries(joints)
    assert entries.shape == (50, 20)
    np.testing.assert_allclose(contract.layout.to_joints(entries), joints, atol=1e-12)
    np.testing.assert_array_equal(entries[:, 9], joints[:, 6], "a gripper is itself")
    np.testing.assert_array_equal(entries[:, :3], joints[:, :3])
    joints[3] = np.nan
    assert np.isnan(contract.layout.to_entries(joints)[3]).all(), "what is not known stays unknown"


def test_at_its_orientation_an_arm_is_not_turned() -> None:
    contract = pose_contract()
    pose = contract.controller(LEFT).pose
    assert pose is not None
    coordinates = pose.chart.of_quaternion(np.array([0.1, 0.2, 0.3]), np.array(DOWN["left"]))
    np.testing.assert_allclose(coordinates, [0.1, 0.2, 0.3, 0.0, 0.0, 0.0], atol=1e-12)
    # The 6-D rotation is the first two columns: the gripper's direction, which points down, and y.
    entries = pose.chart.entries(coordinates)
    np.testing.assert_allclose(entries, [0.1, 0.2, 0.3, 0.0, 0.0, -1.0, 1.0, 0.0, 0.0], atol=1e-12)


def test_a_degenerate_rotation_of_a_policy_is_refused() -> None:
    layout = pose_contract().layout
    entries = layout.to_entries(np.zeros((4, 14)))
    entries[2, 3:9] = 0.0
    with pytest.raises(PoseError):
        layout.to_joints(entries)


def test_what_is_outside_the_workspace_is_named() -> None:
    contract = pose_contract()
    rows, tolerance = np.zeros((3, 14)), np.full(14, 0.01)
    rows[:, [2, 9]] = 0.2
    assert contract.outside_workspace(rows, tolerance) == ""
    rows[1, 2] = 0.609
    assert contract.outside_workspace(rows, tolerance) == "", "within the tolerance"
    rows[1, 2] = 0.7
    assert "z = 0.7 m of left_ee is outside the workspace, 0 to 0.6 m" in contract.outside_workspace(
        rows, tolerance
    )
    rows[1, 2] = 0.2
    rows[2, 10:13] = [1.9, 1.0, 1.5]
    found = contract.outside_workspace(rows, tolerance)
    assert "right_ee is turned by 2.62 rad" in found
    assert "limits.right_ee.orientation" in found


def test_a_rest_pose_is_a_position_and_a_quaternion() -> None:
    mapping = pose_mapping()
    rest = {"left_gripper": 0.02, "right_gripper": 0.02}
    mapping["rest_pose"] = rest | {f"{side}_ee": [0.1, 0.1, 0.2, *DOWN[side]] for side in ("left", "right")}
    pose = parse_contract(mapping, "").rest_pose
    np.testing.assert_allclose(pose, [0.1, 0.1, 0.2, 0, 0, 0, 0.02] * 2, atol=1e-9)
    mapping["rest_pose"]["left_ee"] = [0.1, 0.1, 2.0, *DOWN["left"]]
    with pytest.raises(ContractError, match=r"rest_pose\.left_ee: expected a pose within its limits"):
        parse_contract(mapping, "")


def test_a_rest_pose_is_turned_no_farther_than_allowed_in_any_direction() -> None:
    """Each coordinate alone may be within its limit."""
    mapping, arm = pose_mapping(), pose_contract().controller(LEFT).pose
    assert arm is not None
    home = {"left_gripper": 0.02, "right_gripper": 0.02, "right_ee": [0.0, -0.1, 0.2, *DOWN["right"]]}
    for turn, is_allowed in (((1.6, 1.6, 0.0), True), ((2.0, 2.0, 0.0), False)):  # 2.26 and 2.83 of 2.5 rad
        quaternion = arm.chart.quaternion(np.array([0.0, 0.0, 0.0, *turn]))
        mapping["rest_pose"] = home | {"left_ee": [0.0, 0.1, 0.2, *quaternion.tolist()]}
        if is_allowed:
            parse_contract(mapping, "test")
        else:
            with pytest.raises(ContractError, match=r"rest_pose\.left_ee: expected a pose within its limits"):
                parse_contract(mapping, "test")
