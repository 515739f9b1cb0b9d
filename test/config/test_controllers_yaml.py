# SPDX-License-Identifier: Apache-2.0
"""The shipped ros2_control file matches the contract, and uses only parameters of Jazzy and of Kilted."""

from pathlib import Path

import pytest
import yaml

from dit_policy_ros.core.contract import parse_contract

CONFIG = Path(__file__).parents[2] / "config"
CONTRACT = parse_contract(
    yaml.safe_load((CONFIG / "bimanual.yaml").read_text())["/**"]["ros__parameters"], ""
)
CONTROLLERS = {
    name: section["ros__parameters"]
    for name, section in yaml.safe_load((CONFIG / "bimanual_controllers.yaml").read_text()).items()
}

# The parameters of ros2_controllers that the jazzy and kilted branches have in common (August 2026) and their
# types. allow_trajectory_replacement is of master; the others do not declare it, and ignore it without a word
# (seen on the controllers of Kilted). The types are from joint_trajectory_controller_parameters.yaml and
# joint_state_broadcaster_parameters.yaml.
TRAJECTORY_PARAMETERS = {
    "joints": list,
    "command_joints": list,
    "command_interfaces": list,
    "state_interfaces": list,
    "allow_partial_joints_goal": bool,
    "allow_trajectory_replacement": bool,
    "interpolate_from_desired_state": bool,
    "allow_integration_in_goal_trajectories": bool,
    "set_last_command_interface_value_as_state_on_activation": bool,
    "action_monitor_rate": float,
    "interpolation_method": str,
    "allow_nonzero_velocity_at_trajectory_end": bool,
    "cmd_timeout": float,
    "constraints.stopped_velocity_tolerance": float,
    "constraints.goal_time": float,
    "constraints.decelerate_on_cancel": bool,
}
BROADCASTER_PARAMETERS = {
    "use_local_topics": bool,
    "joints": list,
    "extra_joints": list,
    "interfaces": list,
    "use_urdf_to_filter": bool,
    "frame_id": str,
    "publish_dynamic_joint_states": bool,
}
TYPES = {
    "joint_trajectory_controller/JointTrajectoryController": TRAJECTORY_PARAMETERS,
    "joint_state_broadcaster/JointStateBroadcaster": BROADCASTER_PARAMETERS,
}
NAMES = [name for name in CONTROLLERS if name != "controller_manager"]


def flat(section: dict, prefix: str = "") -> dict:
    found = {}
    for key, value in section.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def test_the_manager_loads_exactly_the_controllers_that_have_a_section() -> None:
    manager = dict(CONTROLLERS["controller_manager"])
    assert isinstance(manager.pop("update_rate"), int)
    assert set(manager) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_exists_in_both_distributions_with_its_type(name: str) -> None:
    schema = TYPES[CONTROLLERS["controller_manager"][name]["type"]]
    for key, value in flat(CONTROLLERS[name]).items():
        assert key in schema, f"{name}.{key}"
        assert isinstance(value, schema[key]), f"{name}.{key} = {value!r}"


def test_controllers_and_joints_are_those_of_the_contract() -> None:
    manager = CONTROLLERS["controller_manager"]
    streamed = [name for name in NAMES if manager[name]["type"].startswith("joint_trajectory_controller/")]
    assert streamed == [controller.name for controller in CONTRACT.controllers]
    for controller in CONTRACT.controllers:
        assert tuple(CONTROLLERS[controller.name]["joints"]) == controller.joints


@pytest.mark.parametrize("controller", [controller.name for controller in CONTRACT.controllers])
def test_settings_suit_streamed_plans(controller: str) -> None:
    settings = flat(CONTROLLERS[controller])
    assert settings["command_interfaces"] == ["position"]
    assert settings["state_interfaces"] == ["position", "velocity"]
    assert settings["interpolation_method"] == "splines"
    assert settings["interpolate_from_desired_state"] is True
    assert settings["allow_trajectory_replacement"] is False
    assert settings["allow_nonzero_velocity_at_trajectory_end"] is False
    assert settings["cmd_timeout"] == 0.0
    assert settings["constraints.goal_time"] == 0.0
