# SPDX-License-Identifier: Apache-2.0
"""Robots whose topics, controllers, joint names, units and rates are not the contract's own."""

import copy
from typing import Any

import numpy as np
import pytest
from contracts import small_mapping

from dit_policy_ros.core.contract import JointStateTopic, RobotName, parse_contract
from dit_policy_ros.core.errors import ContractError

ARM = ("waist", "shoulder", "gripper")
SIDES = ("left", "right")


def aloha_mapping(**changes: Any) -> dict[str, Any]:
    """Two arms in namespaces of their own, each with the same joint names."""
    joints = [f"{side}_{name}" for side in SIDES for name in ARM]
    limit = {"position_min": -1.0, "position_max": 1.0, "velocity": 1.0, "acceleration": 5.0}
    mapping = {
        "robot_type": "aloha",
        "fps": 50.0,
        "joints": joints,
        "joint_states": {
            "topics": ["/follower_left/joint_states", "/follower_right/joint_states"],
            "prefixes": ["left_", "right_"],
            "max_age": 0.2,
        },
        "controllers": {
            "names": list(SIDES),
            **{
                side: {
                    "type": "joint_trajectory_controller",
                    "node": f"/follower_{side}/arm_controller",
                    "joints": [f"{side}_{name}" for name in ARM],
                    "joint_names": list(ARM),
                }
                for side in SIDES
            },
        },
        "limits": dict.fromkeys(joints, limit),
    }
    return copy.deepcopy(mapping | changes)


def problems(mapping: dict[str, Any]) -> str:
    with pytest.raises(ContractError) as caught:
        parse_contract(mapping, "robot.yaml")
    return str(caught.value)


def test_arms_in_namespaces_with_equal_joint_names() -> None:
    contract = parse_contract(aloha_mapping(), "")
    assert contract.joint_states == (
        JointStateTopic("/follower_left/joint_states", "left_"),
        JointStateTopic("/follower_right/joint_states", "right_"),
    )
    left, right = contract.controllers
    assert left.topic == "/follower_left/arm_controller/joint_trajectory"
    assert left.state_topic == "/follower_left/arm_controller/controller_state"
    assert right.trajectory_action == "/follower_right/arm_controller/follow_joint_trajectory"
    assert left.mapping.sources == right.mapping.sources == ARM
    assert contract.cameras == ()


def test_a_controller_without_a_node_is_found_by_its_name() -> None:
    contract = parse_contract(small_mapping(), "")
    arm = contract.controller("arm")
    assert (arm.topic, arm.action) == ("arm/joint_trajectory", "arm/gripper_cmd")
    assert arm.mapping.sources == ("shoulder", "elbow") and arm.mapping.is_identity
    assert contract.joint_states == (JointStateTopic("joint_states"),)
    assert contract.robot_mapping.is_identity and contract.robot_mapping.sources == contract.joints


def test_a_controller_may_take_trajectories_on_a_topic_of_another_name() -> None:
    mapping = aloha_mapping()
    mapping["controllers"]["left"]["topic"] = "/relay/left"
    left = parse_contract(mapping, "").controller("left")
    assert (left.topic, left.node_name) == ("/relay/left", "/follower_left/arm_controller")


def test_units_are_converted_both_ways_and_controllers_may_have_others_than_the_states() -> None:
    """Degrees, a mirrored joint with an offset, a gripper measured in mm and commanded in percent."""
    degree = 0.017453292519943295
    mapping = small_mapping(
        robot_names=[f"shoulder = pan * {degree}", "elbow = lift * -1 - 0.5", "finger = width * 0.001"]
    )
    mapping["controllers"]["arm"]["joint_names"] = ["j1", "j2"]
    mapping["controllers"]["hand"]["joint_names"] = ["grip * 0.0004"]
    contract = parse_contract(mapping, "")
    states = contract.robot_mapping
    assert states.sources == ("pan", "width", "lift")
    values = np.array([90.0, 40.0, 0.25])
    np.testing.assert_allclose(states(values), [np.pi / 2, 0.04, -0.75])
    np.testing.assert_allclose(states.inverse(states(values)), values)
    arm, hand = contract.controller("arm").mapping, contract.controller("hand").mapping
    assert arm.sources == ("j1", "j2")
    np.testing.assert_allclose(arm.inverse(np.array([np.pi, -0.5])), [180.0, 0.0])
    np.testing.assert_allclose(arm.inverse_rates(np.array([np.pi, 1.0])), [180.0, -1.0])
    np.testing.assert_allclose(hand.inverse(np.array([0.02])), [50.0])
    np.testing.assert_allclose(hand(np.array([100.0])), [0.04])
    assert contract.controller("hand").robot_names == (RobotName("grip", 0.0004),)


def test_plain_controller_names_keep_the_unit_of_the_states_and_a_written_one_replaces_it() -> None:
    mapping = small_mapping(robot_names=["shoulder = pan * 2", "elbow = lift * 3 + 1"])
    mapping["controllers"]["arm"]["joint_names"] = ["a", "b * 1"]
    names = parse_contract(mapping, "").controller("arm").robot_names
    assert names == (RobotName("a", 2.0), RobotName("b", 1.0, 0.0))


BAD_NAMES = {
    "no equation": (["finger"], "robot_names: expected 'JOINT = ROBOT_NAME'"),
    "an unknown joint": (["fingr = a"], "Did you mean 'finger'?"),
    "a joint twice": (["finger = a", "finger = b"], "each joint once"),
    "a name twice": (["finger = a", "elbow = a"], "'a' for 'finger' and 'elbow'"),
    "a name of another joint": (["finger = elbow"], "'elbow' for 'finger' and 'elbow'"),
    "scale zero": (["finger = a * 0"], "a scale from"),
    "scale tiny": (["finger = a * 1e-320"], "a scale from"),
    "scale infinite": (["finger = a * 1e999"], "a scale from"),
    "offset infinite": (["finger = a * 1 + 1e999"], "a scale from"),
    "no number": (["finger = a * b"], "got 'finger = a * b'"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_robot_names_that_cannot_be_meant_are_refused(case: str) -> None:
    entries, fragment = BAD_NAMES[case]
    assert fragment in problems(small_mapping(robot_names=entries))


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    mapping = aloha_mapping()
    place = mapping
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return mapping


BAD = {
    "a name missing": (("controllers", "left", "joint_names"), ["waist"], ["in this order, got 1 names"]),
    "a name twice": (
        ("controllers", "left", "joint_names"),
        ["a", "a", "b"],
        ["another name for each joint"],
    ),
    "a bad scale": (("controllers", "left", "joint_names"), ["a * 0", "b", "c"], ["a scale from"]),
    "no name": (("controllers", "left", "joint_names"), ["a", "", "c"], ["expected 'ROBOT_NAME'"]),
    "a node that is no name": (("controllers", "left", "node"), "/left arm", ["controllers.left.node"]),
    "one node for two": (
        ("controllers", "left", "node"),
        "/follower_right/arm_controller",
        ["controllers.right.node", "as for 'left'"],
    ),
    "prefixes too few": (("joint_states", "prefixes"), ["left_"], ["one for each of the 2 topics"]),
    "a prefix with a space": (("joint_states", "prefixes"), ["a b", ""], ["joint_states.prefixes"]),
    "topic and topics": (("joint_states", "topic"), "joint_states", ["either 'topic' or 'topics'"]),
    "a topic twice": (("joint_states", "topics"), ["/a", "/a"], ["'/a' again"]),
    "no topics": (("joint_states", "topics"), [], ["joint_states.topics"]),
    "slowest joint too slow for max_age": (("joint_states", "fps"), 4.0, ["joint_states.max_age", "0.25"]),
    "slowest joint not a rate": (("joint_states", "fps"), -1.0, ["joint_states.fps"]),
}


@pytest.mark.parametrize("case", BAD)
def test_topics_and_controllers_that_cannot_be_meant_are_refused(case: str) -> None:
    path, value, fragments = BAD[case]
    message = problems(changed(path, value))
    for fragment in fragments:
        assert fragment in message


def test_prefixes_belong_to_topics() -> None:
    mapping = small_mapping()
    mapping["joint_states"]["prefixes"] = ["left_"]
    assert "no prefixes beside 'topic'" in problems(mapping)


def test_a_gripper_that_takes_goals_has_a_node_but_no_topic() -> None:
    mapping = small_mapping()
    mapping["controllers"]["hand"] = {
        "type": "parallel_gripper_controller",
        "joints": ["finger"],
        "node": "/left/hand",
        "joint_names": ["robotiq_85 * -0.05 + 0.04"],
    }
    hand = parse_contract(mapping, "").controller("hand")
    assert hand.action == "/left/hand/gripper_cmd"
    assert hand.mapping.inverse(np.array([0.04])) == pytest.approx(0.0)
    mapping["controllers"]["hand"]["topic"] = "/left/hand/command"
    assert "controllers.hand.topic: expected 'node'" in problems(mapping)


def test_a_gripper_that_takes_goals_has_a_range() -> None:
    """A goal is sent when the command has moved by a share of it."""
    mapping = small_mapping()
    mapping["controllers"]["hand"] = {"type": "parallel_gripper_controller", "joints": ["finger"]}
    mapping["limits"]["finger"] = {"continuous": True, "velocity": 1.0, "acceleration": 5.0}
    assert "limits.finger.continuous: expected false, because hand takes goals" in problems(mapping)


def test_cameras_may_be_slower_than_the_joints_and_there_may_be_none() -> None:
    mapping = small_mapping(fps=50.0)
    mapping["cameras"]["top"]["fps"] = 25.0
    mapping["cameras"]["wrist"]["fps"] = 60.0
    contract = parse_contract(mapping, "")
    top, wrist = contract.cameras
    assert (contract.image_rate(top), contract.image_rate(wrist)) == (25.0, 50.0)
    assert contract.image_lead(top) == pytest.approx(0.02) and contract.image_lead(wrist) == 0.0
    assert parse_contract(small_mapping(cameras={"names": []}), "").cameras == ()
    without = small_mapping()
    del without["cameras"]
    assert parse_contract(without, "").cameras == ()


def test_a_camera_that_is_always_stale_by_its_own_rate_is_refused() -> None:
    mapping = small_mapping()
    mapping["cameras"]["top"] |= {"fps": 2.0, "max_age": 0.5}
    assert "cameras.top.max_age: expected a number above 0.5 [s]" in problems(mapping)


def test_a_urdf_counts_for_a_joint_that_the_robot_names_otherwise(tmp_path: Any) -> None:
    urdf = tmp_path / "robot.urdf"
    urdf.write_text(
        '<robot name="r"><joint name="pan" type="revolute">'
        '<limit lower="-1" upper="1" velocity="0.5"/></joint></robot>'
    )
    mapping = small_mapping(urdf=str(urdf), robot_names=["shoulder = pan"])
    mapping["limits"]["shoulder"] = {"acceleration": 8.0}
    limits = parse_contract(mapping, "").limits
    assert (limits.position_min[0], limits.position_max[0], limits.velocity[0]) == (-1.0, 1.0, 0.5)
    mapping["robot_names"] = ["shoulder = pan * 0.5"]  # in which unit is the URDF then?
    assert "limits.shoulder.position_min" in problems(mapping)
