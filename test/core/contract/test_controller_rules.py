# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import yaml
from pose_robot import pose_contract, pose_mapping
from simulated_motion import CONTRACT

from dit_policy_ros.core.contract import Controller, ControllerType, controller_findings, parse_contract

FILE = Path(__file__).parents[3] / "config" / "bimanual_controllers.yaml"
ARM = CONTRACT.controller("left_arm_controller")
HAND = Controller("hand", ControllerType.PARALLEL_GRIPPER, ("finger",), gripper=True)


def flat(section: dict, prefix: str = "") -> dict:
    found = {}
    for key, value in section.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def shipped(name: str) -> dict:
    return flat(yaml.safe_load(FILE.read_text())[name]["ros__parameters"])


@pytest.mark.parametrize("controller", CONTRACT.controllers, ids=lambda controller: controller.name)
def test_the_shipped_settings_have_no_findings(controller):
    parameters = shipped(controller.name) | {"use_sim_time": False, "update_rate": 200}
    findings = controller_findings(controller, parameters, CONTRACT, simulated_time=False)
    assert findings.problems == findings.advice == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": ["left_joint_1"]}, ["joints", "left_joint_6"]),
        ({"joints": [*ARM.joints, "extra"]}, ["joints", "extra"]),
        ({"joints": ["other"], "allow_partial_joints_goal": True}, ["joints"]),
        ({"interpolation_method": "none"}, ["set interpolation_method: splines"]),
        ({"use_sim_time": True}, ["set use_sim_time: false", "clock"]),
        ({"speed_scaling.initial_scaling_factor": 0.5}, ["factor: 1.0", "velocity_scale"]),
        ({"allow_trajectory_replacement": True}, ["set allow_trajectory_replacement: false"]),
    ],
)
def test_parameters_that_break_streaming_are_problems_with_the_setting_that_fixes_them(change, words):
    findings = controller_findings(ARM, shipped(ARM.name) | change, CONTRACT, simulated_time=False)
    (problem,) = findings.problems
    assert "under left_arm_controller: ros__parameters" in problem
    for word in words:
        assert word in problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"update_rate": 50}, "set update_rate: 100"),
        ({"interpolate_from_desired_state": False}, "set interpolate_from_desired_state: true"),
        ({"speed_scaling.state_interface": "ur/speed"}, 'set speed_scaling.state_interface: ""'),
        ({"cmd_timeout": 0.5}, "set cmd_timeout: 0.0"),
        ({"constraints.left_joint_2.trajectory": 0.1}, "set constraints.left_joint_2.trajectory: 0.0"),
        ({"constraints.goal_time": 1.0}, "set constraints.goal_time: 0.0"),
    ],
)
def test_parameters_that_make_streaming_worse_are_advice(change, words):
    findings = controller_findings(ARM, shipped(ARM.name) | change, CONTRACT, simulated_time=False)
    assert findings.problems == ()
    (advice,) = findings.advice
    assert words in advice


def test_a_controller_with_more_joints_is_valid_if_partial_goals_are_allowed():
    change = {"joints": [*ARM.joints, "extra"], "allow_partial_joints_goal": True}
    assert controller_findings(ARM, shipped(ARM.name) | change, CONTRACT, False).problems == ()


def test_a_gripper_with_the_wrong_joint_is_a_problem():
    assert controller_findings(HAND, {"joint": "finger"}, CONTRACT, False).problems == ()
    (problem,) = controller_findings(HAND, {"joint": "thumb"}, CONTRACT, False).problems
    assert "set joint: finger" in problem


def test_missing_parameters_are_not_checked():
    assert controller_findings(ARM, {}, CONTRACT, simulated_time=True).problems == ()


POSE = {
    "use_sim_time": False,
    "robot_base_link": "world",
    "end_effector_link": "left_tcp",
    "solver.publish_state_feedback": True,
}


def test_a_controller_of_poses_with_suitable_settings_has_no_findings():
    contract = pose_contract()
    controller = contract.controller("left_pose_controller")
    findings = controller_findings(controller, POSE, contract, simulated_time=False)
    assert findings.problems == findings.advice == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"robot_base_link": "base"}, ["set robot_base_link: world", "left_pose_controller.frame"]),
        ({"end_effector_link": "tool0"}, ["set end_effector_link: left_tcp", "end_effector)"]),
        ({"solver.publish_state_feedback": False}, ["publish_state_feedback: true", "current_pose"]),
        ({"use_sim_time": True}, ["set use_sim_time: false"]),
    ],
)
def test_settings_that_a_stream_of_poses_does_not_suit_are_problems(change, words):
    contract = pose_contract()
    controller = contract.controller("left_pose_controller")
    (problem,) = controller_findings(controller, POSE | change, contract, simulated_time=False).problems
    for word in words:
        assert word in problem


def test_servo_must_wait_longer_than_between_two_targets():
    mapping = pose_mapping()
    mapping["controllers"]["left_pose_controller"] |= {"type": "moveit_servo", "state_topic": "/tcp"}
    contract = parse_contract(mapping, "")
    controller = contract.controller("left_pose_controller")
    name = "moveit_servo.incoming_command_timeout"
    (problem,) = controller_findings(controller, {name: 0.01}, contract, simulated_time=False).problems
    assert f"set {name}: 0.03" in problem
    assert controller_findings(controller, {name: 0.1}, contract, simulated_time=False).problems == ()
