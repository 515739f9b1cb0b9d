# SPDX-License-Identifier: Apache-2.0
"""The contract is parsed strictly, and one message lists all mistakes."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from dit_policy_ros.core.contract import ControllerType, Limits, parse_contract
from dit_policy_ros.core.errors import ContractError

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"


def shipped() -> dict:
    return yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]


@pytest.fixture
def mapping() -> dict:
    return copy.deepcopy(shipped())


def refused(mapping: dict) -> str:
    with pytest.raises(ContractError) as caught:
        parse_contract(mapping, "my_robot.yaml")
    message = str(caught.value)
    assert "my_robot.yaml" in message
    return message


def test_shipped_contract_is_the_documented_one() -> None:
    contract = parse_contract(shipped(), "bimanual.yaml")
    sides = [
        [f"{side}_joint_{number}" for number in range(1, 7)] + [f"{side}_gripper"]
        for side in ("left", "right")
    ]
    assert contract.joints == tuple(sides[0] + sides[1])
    assert contract.action_dim == 14
    assert contract.fps == 30.0
    assert contract.dt == pytest.approx(1 / 30)
    assert contract.dt_ns == 33_333_333
    assert contract.camera_names == ("top", "left_wrist", "right_wrist")
    assert contract.camera("top").topic == "top/image_raw"
    assert [controller.topic for controller in contract.controllers] == [
        "left_arm_controller/joint_trajectory",
        "left_gripper_controller/joint_trajectory",
        "right_arm_controller/joint_trajectory",
        "right_gripper_controller/joint_trajectory",
    ]
    assert {controller.type for controller in contract.controllers} == {ControllerType.JOINT_TRAJECTORY}


def test_indices_and_gripper_mask_follow_the_joint_order(mapping: dict) -> None:
    mapping["joints"].reverse()
    contract = parse_contract(mapping, "")
    assert contract.indices("left_arm_controller").tolist() == [13, 12, 11, 10, 9, 8]
    assert contract.indices(contract.controllers[3]).tolist() == [0]
    assert np.flatnonzero(contract.gripper_mask).tolist() == [0, 7]
    assert contract.limits.position_max[0] == mapping["limits"]["right_gripper"]["position_max"]


def test_limits_are_read_only() -> None:
    contract = parse_contract(shipped(), "")
    with pytest.raises(ValueError, match="read-only"):
        contract.limits.velocity[0] = 1e9


def test_a_joint_slides_if_the_contract_says_so() -> None:
    mapping = shipped()
    mapping["limits"]["right_joint_1"]["prismatic"] = True
    limits = parse_contract(mapping, "").limits
    joint = mapping["joints"].index("right_joint_1")
    assert np.flatnonzero(limits.prismatic).tolist() == [joint]
    assert limits.with_velocity_scale(0.5).prismatic[joint]
    assert not parse_contract(shipped(), "").limits.prismatic.any(), "by default a joint turns"
    endless = {"continuous": True, "velocity": 1.0, "acceleration": 1.0}
    mapping["limits"]["right_joint_1"] = endless
    assert not parse_contract(mapping, "").limits.prismatic.any()
    mapping["limits"]["right_joint_1"] = endless | {"prismatic": True}
    with pytest.raises(ContractError, match="it cannot turn"):
        parse_contract(mapping, "")


def test_limits_of_different_lengths_raise_value_error() -> None:
    with pytest.raises(ValueError, match=r"Limits.velocity has shape \(2,\)"):
        Limits(np.zeros(3), np.ones(3), np.ones(2), np.ones(3))


@pytest.mark.parametrize("lookup", ["camera", "controller", "indices"])
def test_unknown_names_list_the_valid_ones(lookup: str) -> None:
    contract = parse_contract(shipped(), "")
    with pytest.raises(ValueError, match=r"'bottom'.*(left_wrist|left_arm_controller)"):
        getattr(contract, lookup)("bottom")


# One entry per rule: the key, the wrong value (None deletes the key), and what the message must contain.
BAD = {
    "unknown key": (("frames",), 1, ["frames", "unknown name 'frames'", "robot_type"]),
    "unknown key, near a real one": (("cameras", "top", "heigth"), 240, ["Did you mean 'height'?"]),
    "missing key": (("robot_type",), None, ["robot_type", "missing"]),
    "empty robot type": (("robot_type",), " ", ["robot_type"]),
    "text for a number": (("fps",), "30", ["fps", "'30' (str)"]),
    "boolean for a number": (("fps",), True, ["fps", "True (bool)"]),
    "fps of zero": (("fps",), 0.0, ["fps: expected a number from 1 to 240 [Hz], got 0.0"]),
    "fps too high": (("fps",), 1000, ["fps", "1000"]),
    "fps NaN": (("fps",), math.nan, ["fps", "nan"]),
    "joints as text": (("joints",), "left_joint_1", ["joints"]),
    "no joints": (("joints",), [], ["joints"]),
    "joint not a text": (("joints", 3), 4, ["joints[3]", "4 (int)"]),
    "joint with a dot": (("joints", 0), "left.joint", ["joints[0]", "dots"]),
    "empty joint": (("joints", 0), "", ["joints[0]"]),
    "duplicate joint": (
        ("joints", 1),
        "left_joint_1",
        ["joints[1]: expected each name once, got 'left_joint_1'"],
    ),
    "topic with a space": (("joint_states", "topic"), "/joint states", ["joint_states.topic"]),
    "max_age zero": (("joint_states", "max_age"), 0.0, ["joint_states.max_age"]),
    "max_age infinite": (("cameras", "top", "max_age"), math.inf, ["cameras.top.max_age"]),
    "joint_states not a group": (("joint_states",), "/joint_states", ["joint_states"]),
    "duplicate camera": (("cameras", "names", 1), "top", ["cameras.names[1]", "'top' again"]),
    "camera without an entry": (("cameras", "names", 1), "belly", ["cameras.belly", "missing"]),
    "camera entry without a name": (
        ("cameras", "belly"),
        {},
        ["cameras.belly: expected one of", "unknown name"],
    ),
    "cameras that are not in the list": (("cameras", "names"), [], ["cameras.top: expected one of"]),
    "camera called names": (("cameras", "names", 0), "names", ["cameras.names[0]"]),
    "camera name with a slash": (("cameras", "names", 0), "a/b", ["cameras.names[0]"]),
    "latency not finite": (("cameras", "top", "latency"), math.nan, ["cameras.top.latency", "-1 to 1 [s]"]),
    "compressed a text": (
        ("cameras", "top", "compressed"),
        "yes",
        ["cameras.top.compressed", "true or false"],
    ),
    "jerk zero": (("limits", "left_joint_2", "jerk"), 0.0, ["limits.left_joint_2.jerk", "above 0"]),
    "depth without a unit": (("cameras", "top", "kind"), "depth", ["cameras.top.depth_unit", "missing"]),
    "kind not known": (
        ("cameras", "top", "kind"),
        "Depth",
        ["cameras.top.kind", "color, or depth"],
    ),
    "unit of a colour camera": (("cameras", "top", "depth_unit"), "mm", ["cameras.top.depth_unit: exp"]),
    "two cameras on a topic": (("cameras", "left_wrist", "topic"), "top/image_raw", ["as for 'top'"]),
    "height not whole": (("cameras", "top", "height"), 240.0, ["cameras.top.height", "240.0"]),
    "height a boolean": (("cameras", "top", "height"), True, ["cameras.top.height", "bool"]),
    "width too small": (("cameras", "top", "width"), 1, ["cameras.top.width", "16 to 8192 [pixel]"]),
    "unknown controller type": (
        ("controllers", "left_arm_controller", "type"),
        "position_controllers/JointGroup",
        ["one of: joint_trajectory_controller", "position_controllers/JointGroup"],
    ),
    "parallel gripper of many joints": (
        ("controllers", "left_arm_controller", "type"),
        "parallel_gripper_controller",
        ["controllers.left_arm_controller.joints: expected the one joint of a gripper", "left_joint_2"],
    ),
    "duplicate controller": (("controllers", "names", 1), "left_arm_controller", ["again"]),
    "joint in no controller": (
        ("controllers", "left_gripper_controller", "joints"),
        ["left_joint_1"],
        ["one controller for joint 'left_gripper'", "also in 'left_arm_controller'"],
    ),
    "joint that does not exist": (
        ("controllers", "left_gripper_controller", "joints", 0),
        "left_griper",
        ["Did you mean 'left_gripper'?"],
    ),
    "gripper flag a number": (("controllers", "left_arm_controller", "gripper"), 1, ["true or false"]),
    "joint without limits": (("limits", "left_joint_2"), None, ["limits.left_joint_2", "missing"]),
    "limits of an unknown joint": (("limits", "left_joint_9"), {}, ["limits.left_joint_9", "Did you mean"]),
    "limit NaN": (("limits", "left_joint_2", "velocity"), math.nan, ["limits.left_joint_2.velocity", "nan"]),
    "position infinite": (("limits", "left_joint_2", "position_max"), math.inf, ["position_max", "inf"]),
    "limits swapped": (("limits", "left_joint_2", "position_min"), 9.0, ["above position_min = 9.0"]),
    "no velocity": (("limits", "left_joint_2", "velocity"), 0.0, ["velocity", "above 0"]),
    "negative acceleration": (("limits", "left_joint_2", "acceleration"), -1, ["acceleration", "-1 (int)"]),
    "limits not a group": (("limits",), [1.0], ["limits"]),
}


@pytest.mark.parametrize("case", BAD)
def test_each_mistake_is_reported(mapping: dict, case: str) -> None:
    path, value, fragments = BAD[case]
    place = mapping
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    message = refused(mapping)
    for fragment in fragments:
        assert fragment in message


def test_all_mistakes_are_in_one_message(mapping: dict) -> None:
    mapping["fps"] = math.nan
    mapping["cameras"]["top"]["height"] = "tall"
    mapping["limits"]["right_gripper"]["velocity"] = -2.0
    del mapping["joint_states"]["topic"]
    message = refused(mapping)
    assert "4 problems" in message
    for key in ("fps", "cameras.top.height", "limits.right_gripper.velocity", "joint_states.topic"):
        assert f"\n  - {key}: expected" in message


def test_relative_topics_and_integer_fps_are_valid(mapping: dict) -> None:
    mapping["fps"] = 25
    mapping["cameras"]["top"]["topic"] = "cameras/top"
    contract = parse_contract(mapping, "")
    assert isinstance(contract.fps, float)
    assert contract.camera("top").topic == "cameras/top"


def test_an_empty_mapping_lists_what_is_missing() -> None:
    message = refused({})
    for key in ("robot_type", "fps", "joints", "joint_states", "controllers", "limits"):
        assert f"- {key}: expected" in message


def test_latencies_of_controllers_and_cameras_are_read_with_their_uncertainty(mapping: dict) -> None:
    mapping["controllers"]["right_arm_controller"] |= {"latency": 0.04, "latency_uncertainty": 0.003}
    mapping["cameras"]["top"] |= {"latency": -0.01, "latency_uncertainty": 0.002}
    contract = parse_contract(mapping, "")
    arm, top = contract.controller("right_arm_controller"), contract.camera("top")
    assert (arm.latency, arm.latency_uncertainty) == (0.04, 0.003)
    assert (top.latency, top.latency_uncertainty) == (-0.01, 0.002)
    assert np.flatnonzero(contract.latencies).tolist() == list(range(7, 13))


@pytest.mark.parametrize("value", [-0.001, 1.5, math.nan, "soon", True])
def test_a_controllers_latency_is_between_zero_and_one_second(mapping: dict, value) -> None:
    for key in ("latency", "latency_uncertainty"):
        mapping["controllers"]["right_arm_controller"] = {
            **shipped()["controllers"]["right_arm_controller"],
            key: value,
        }
        assert f"controllers.right_arm_controller.{key}: expected a number from 0 to 1 [s]" in refused(
            mapping
        )


def test_a_depth_camera_has_a_unit_that_says_the_type_of_its_pixels() -> None:
    for unit, dtype in (("mm", np.uint16), ("m", np.float32)):
        mapping = shipped()
        mapping["cameras"]["top"] |= {"kind": "depth", "depth_unit": unit}
        camera = parse_contract(mapping, "").camera("top")
        assert camera.is_depth and camera.image_shape == (240, 320, 1) and camera.image_type is dtype
    camera = parse_contract(shipped(), "").camera("top")
    assert not camera.is_depth and camera.image_shape == (240, 320, 3) and camera.image_type is np.uint8
