# SPDX-License-Identifier: Apache-2.0
"""Which joints a leader moves, by the names of the controllers."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import SMALL_CONTRACT
from pose_robot import pose_contract

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.ros.teleoperation._leader import _joints


@pytest.mark.parametrize(
    ("controllers", "joints"),
    [((), [0, 1, 2]), (("",), [0, 1, 2]), (("arm",), [0, 2]), (("hand", "arm", "hand"), [0, 1, 2])],
)
def test_joints_come_in_the_contracts_order_and_once(controllers, joints):
    assert _joints(SMALL_CONTRACT, controllers).tolist() == joints


def test_a_controller_that_is_not_there_is_named():
    with pytest.raises(ParameterError, match=r"no controller 'foot'; the contract has: arm, hand"):
        _joints(SMALL_CONTRACT, ("arm", "foot"))


def test_an_arm_that_takes_poses_has_no_leader():
    contract = pose_contract()
    with pytest.raises(ParameterError, match=r"left_pose_controller, right_pose_controller takes poses"):
        _joints(contract, ())
    assert _joints(contract, ("left_gripper_controller",)).tolist() == [6]
