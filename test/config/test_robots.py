# SPDX-License-Identifier: Apache-2.0
"""The ready robots: valid contracts, controllers that match them, and a word in the docs for each."""

from pathlib import Path

import pytest
import yaml
from ready_robots import NAMES, ROBOTS, contract_of, sections

from dit_policy_ros.core.contract import ControllerType, controller_findings
from dit_policy_ros.sim.scene import READY

TYPES = {
    ControllerType.JOINT_TRAJECTORY: "joint_trajectory_controller/JointTrajectoryController",
    ControllerType.PARALLEL_GRIPPER: "parallel_gripper_action_controller/GripperActionController",
}
DOCS = (Path(__file__).parents[2] / "docs" / "robots.md").read_text()


def test_the_five_robots_are_there():
    assert set(NAMES) == {"aloha", "fr3_pair", "openarm", "so101_pair", "ur5e_pair"}


@pytest.mark.parametrize("name", NAMES)
def test_every_robot_has_two_arms_with_grippers_and_three_cameras_or_more(name):
    contract = contract_of(name)
    assert contract.robot_type == name
    assert len(contract.controllers) == 4
    assert contract.gripper_mask.sum() == 2
    assert len(contract.cameras) >= 3


def nodes(sections: dict, namespace: str = "") -> dict[str, dict]:
    """The parameters of a controllers' file by full name of the node."""
    found: dict[str, dict] = {}
    for key, value in sections.items():
        name = f"{namespace}/{key.strip('/')}"
        found |= {name: value["ros__parameters"]} if "ros__parameters" in value else nodes(value, name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_controllers_are_those_of_the_contract_and_suit_streamed_plans(name):
    contract = contract_of(name)
    found = nodes(yaml.safe_load((ROBOTS / f"{name}_controllers.yaml").read_text()))
    managers = {node: found.pop(node) for node in list(found) if node.endswith("/controller_manager")}
    rates, types = {}, {}
    for node, parameters in managers.items():
        namespace, rate = node.removesuffix("/controller_manager"), parameters.pop("update_rate")
        types |= {f"{namespace}/{key}": value["type"] for key, value in parameters.items()}
        rates |= {f"{namespace}/{key}": rate for key in parameters}
    broadcasters = {node for node in found if node.endswith("/joint_state_broadcaster")}
    assert len(broadcasters) == len(managers) == len(contract.joint_states)
    assert set(types) == set(found)
    assert set(found) - broadcasters == {f"/{each.node_name}" for each in contract.controllers}
    for each in contract.controllers:
        node, names = f"/{each.node_name}", list(each.mapping.sources)
        assert types[node] == TYPES[each.type]
        parameters = flat(found[node]) | {"update_rate": rates[node]}
        assert parameters.get("joints", [parameters.get("joint")]) == names
        findings = controller_findings(each, parameters, contract, simulated_time=False)
        assert (findings.problems, findings.advice) == ((), ())


def flat(section: dict, prefix: str = "") -> dict:
    found = {}
    for key, value in section.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_docs_and_the_file_say_that_it_has_not_run_on_hardware(name):
    assert "It has not run on hardware" in (ROBOTS / f"{name}.yaml").read_text()
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{name}`"))
    assert "not run on hardware" in row


@pytest.mark.parametrize("name", NAMES)
def test_only_recorded_commands_that_others_can_hear_are_the_source_of_actions(name):
    """A gripper's goals cannot be listened to, so such a robot records its leader."""
    types = {each.type for each in contract_of(name).controllers}
    source = sections(name).get("/recorder", {}).get("action", {}).get("source", "commanded")
    assert source == ("leader" if ControllerType.PARALLEL_GRIPPER in types else "commanded")


def test_scenes_that_the_files_name_exist():
    named = {name: scene for name in NAMES if (scene := sections(name).get("/sim", {}).get("scene"))}
    assert named == {name: name for name in READY}
