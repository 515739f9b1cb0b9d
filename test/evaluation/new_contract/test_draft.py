# SPDX-License-Identifier: Apache-2.0
"""A contract from what a robot shows; what only a person knows is refused until it is filled in."""

from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
from sensor_msgs.msg import CompressedImage, Image, JointState

from dit_policy_ros.core.contract import ControllerType, parse_contract, parse_urdf
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.data.description import CameraFeature
from dit_policy_ros.evaluation.new_contract import (
    Choices,
    DatasetFacts,
    RobotFacts,
    contract_text,
    draft_contract,
    places_to_fill_in,
)
from dit_policy_ros.ros.survey import FoundController, StreamFacts

URDF = """<robot name="crane">
  <joint name="lift" type="prismatic"><limit lower="0.0" upper="0.8" velocity="0.3" effort="1"/></joint>
  <joint name="yaw" type="continuous"><limit velocity="1.5" effort="1"/></joint>
  <joint name="elbow" type="revolute"><limit lower="-1.0" upper="2.0" velocity="2.0" effort="1"/></joint>
  <joint name="finger" type="prismatic"><limit lower="0" upper="-1" velocity="0" effort="1"/></joint>
</robot>"""
JOINTS = ("yaw", "lift", "elbow")


def stream(topic, newest, rate=30.0, names=()):
    stamps = [round(k * 1e9 / rate) for k in range(50)]
    return StreamFacts(topic, stamps, newest, dict.fromkeys(names))


def crane(**changes):
    facts = {
        "robot_name": "crane",
        "urdf": parse_urdf(URDF, "a test"),
        "controllers": {
            "/arm_controller": FoundController("/arm_controller", ControllerType.JOINT_TRAJECTORY, JOINTS),
            "/gripper_controller": FoundController(
                "/gripper_controller", ControllerType.PARALLEL_GRIPPER, ("finger",)
            ),
        },
        "images": {
            "/head/color/image_raw": stream(
                "/head/color/image_raw", Image(height=480, width=640, encoding="rgb8")
            ),
            "/head/depth/image_raw": stream(
                "/head/depth/image_raw", Image(height=480, width=640, encoding="16UC1")
            ),
        },
        "joint_states": {
            "/other": stream("/other", JointState(), 50.0, ("x",)),
            "/joint_states": stream("/joint_states", JointState(), 100.0, ("finger", *JOINTS)),
        },
    }
    return RobotFacts(**(facts | changes))


def demonstrations(names=(*JOINTS, "finger"), cameras=()):
    dim = len(names)
    velocity = np.full(dim, 0.9)
    velocity[-1] = np.nan  # the last joint rested
    return DatasetFacts(
        Path("pick"),
        20.0,
        "crane_2",
        tuple(names),
        cameras,
        np.zeros(dim),
        np.full(dim, 0.5),
        velocity,
        velocity * 3,
    )


NOTHING_GIVEN = Choices()


def written(robot, dataset=None, choices=NOTHING_GIVEN):
    """The contract's mapping, as a node would read it from the file."""
    text = contract_text(draft_contract(robot, dataset, choices), robot.notes)
    return yaml.safe_load(text)["/**"]["ros__parameters"]


def refusal(mapping):
    with pytest.raises(ContractError) as caught:
        parse_contract(mapping, "new.yaml")
    return str(caught.value)


def test_what_is_known_is_written_and_the_rest_is_refused_with_what_to_do():
    mapping = written(crane())
    assert mapping["robot_type"] == "crane"
    assert mapping["joints"] == [*JOINTS, "finger"]
    assert mapping["joint_states"] == {"topic": "joint_states", "max_age": 0.2}
    assert mapping["cameras"]["names"] == ["head"]  # without the depth image
    head = mapping["cameras"]["head"]
    assert (head["height"], head["width"], head["max_age"]) == (480, 640, 0.2)
    assert mapping["controllers"]["gripper_controller"] == {
        "type": "parallel_gripper_controller",
        "joints": ["finger"],
    }
    limits = mapping["limits"]
    assert (
        limits["lift"]["prismatic"] and limits["yaw"]["continuous"] and limits["elbow"]["position_max"] == 2.0
    )
    problems = refusal(mapping)
    assert "fps: expected a number from 1 to 240 [Hz], got a place that is not filled in" in problems
    assert "limits.elbow.acceleration" in problems and "from the robot's manual" in problems
    assert "limits.finger.position_min" in problems and "the URDF says 0 to -1" in problems
    assert "limits.elbow.velocity" not in problems


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0"])
def test_a_limit_of_the_urdf_that_is_none_is_asked_for(value):
    text = URDF.replace('velocity="2.0"', f'velocity="{value}"').replace('upper="2.0"', f'upper="{value}"')
    elbow = written(crane(urdf=parse_urdf(text, "a test")))["limits"]["elbow"]
    assert elbow["velocity"].startswith("FILL_IN")
    assert value == "0" or elbow["position_max"].startswith("FILL_IN")


def test_filled_in_it_is_a_contract():
    mapping = written(crane(), choices=Choices(fps=30.0))
    for limit in mapping["limits"].values():
        limit["acceleration"] = 1.0
    mapping["limits"]["finger"] |= {"position_min": 0.0, "position_max": 0.04, "velocity": 0.1}
    contract = parse_contract(mapping, "")
    assert contract.action_dim == 4 and contract.limits.prismatic.tolist() == [False, True, False, True]


def test_demonstrations_give_rate_names_and_limits_but_nothing_above_the_urdf():
    cameras = (CameraFeature("observation.images.wrist", "wrist", 96, 128, "video"),)
    mapping = written(crane(), demonstrations(cameras=cameras))
    assert (mapping["fps"], mapping["robot_type"]) == (20.0, "crane_2")
    assert mapping["limits"]["yaw"]["velocity"] == 0.9
    assert mapping["limits"]["lift"]["velocity"] == 0.3, "the URDF's is lower"
    assert mapping["limits"]["elbow"]["acceleration"] == 2.7
    assert mapping["limits"]["finger"]["acceleration"].startswith("FILL_IN")
    assert (mapping["cameras"]["wrist"]["height"], mapping["cameras"]["wrist"]["width"]) == (96, 128)
    assert "cameras.wrist.topic" in refusal(mapping)


def test_entries_of_the_dataset_that_are_no_joints_are_asked_for():
    mapping = written(crane(), demonstrations(("yaw.pos", "lift", "elbow", "finger")))
    assert mapping["joints"] == [*JOINTS, "finger"]
    assert "yaw.pos = JOINT * SCALE + OFFSET" in refusal(mapping)


def test_a_dataset_alone_gives_the_names_and_asks_for_the_rest():
    mapping = written(RobotFacts(), demonstrations())
    assert mapping["joints"] == [*JOINTS, "finger"]
    problems = refusal(mapping)
    for key in ("controllers.names", "joint_states.topic", "cameras.names", "limits.yaw.position_min"):
        assert key in problems
    assert "demonstrations went from 0 to 0.5" in problems


def test_nothing_found_is_nothing_claimed():
    draft = draft_contract(RobotFacts(), None, Choices())
    assert places_to_fill_in(draft) == 7
    refusal(written(RobotFacts()))


def test_a_controller_that_does_not_name_its_joints_is_asked_for_them():
    silent = {"/arm": FoundController("/arm", ControllerType.JOINT_TRAJECTORY, ())}
    assert "controllers.arm.joints" in refusal(written(crane(controllers=silent)))


def test_joint_states_on_several_topics_are_joined_and_equal_names_need_prefixes():
    def split(left, right):
        return {
            f"/{side}/joint_states": stream(f"/{side}/joint_states", JointState(), 100.0, names)
            for side, names in (("left", left), ("right", right))
        }

    mapping = written(crane(joint_states=split(JOINTS[:2], (*JOINTS[2:], "finger"))))
    assert sorted(mapping["joint_states"]["topics"]) == ["left/joint_states", "right/joint_states"]
    assert "joint_states" not in refusal(mapping)
    doubled = written(crane(joint_states=split(JOINTS[:2], (JOINTS[0], *JOINTS[2:], "finger"))))
    assert "prefixes" in refusal(doubled) and "yaw are on several" in refusal(doubled)
    part = written(crane(joint_states=split(JOINTS[:2], JOINTS[2:])))
    assert "joint_states.topic" in refusal(part) and "/left/joint_states (2 joints)" in refusal(part)


ARM = ("waist", "shoulder", "gripper")
ARM_URDF = "".join(
    f'<joint name="{joint}" type="revolute"><limit lower="-1" upper="1" velocity="2" effort="1"/></joint>'
    for joint in ARM
)


def two_arms(places=("/follower_left", "/follower_right"), leaders=(), arm=ARM, joints=None):
    """Two arms whose joints have equal names; joints: as their controllers name them."""
    states = [f"{place}/joint_states" for place in (*places, *leaders)]
    own = joints or [arm, arm]
    controllers = {}
    for place, names in zip(places, own, strict=True):
        for node, part in ((f"{place}/arm_controller", names[:-1]), (f"{place}/hand_controller", names[-1:])):
            controllers[node] = FoundController(node, ControllerType.JOINT_TRAJECTORY, tuple(part))
    return crane(
        urdf=parse_urdf(f'<robot name="pair">{ARM_URDF}</robot>', "a test"),
        controllers=controllers,
        joint_states={topic: stream(topic, JointState(), 100.0, ("other", *arm)) for topic in states},
    )


def accepted(mapping):
    """The contract, once what only a person knows is filled in."""
    for limit in mapping["limits"].values():
        limit["acceleration"] = 1.0
    return parse_contract(mapping, "new.yaml")


@pytest.mark.parametrize(
    ("places", "leaders", "prefixes"),
    [
        (("/follower_left", "/follower_right"), (), ["left_", "right_"]),
        (("/follower_left", "/follower_right"), ("/a_leader_left", "/leader_right"), ["left_", "right_"]),
        (("/left", "/right"), (), ["left_", "right_"]),
        (("/cell/robot1/arm", "/cell/robot2/arm"), (), ["robot1_", "robot2_"]),
        (("/robot", "/robot_2"), (), ["robot_", "robot_2_"]),
        (("/a", "/b/a"), (), ["a_", "b_a_"]),
    ],
)
def test_arms_with_equal_names_get_prefixes_from_their_namespaces(places, leaders, prefixes):
    mapping = written(two_arms(places, leaders), choices=Choices(fps=30.0))
    joint_states = mapping["joint_states"]
    topics = [f"{place.removeprefix('/')}/joint_states" for place in places]
    assert dict(zip(joint_states["topics"], joint_states["prefixes"], strict=True)) == dict(
        zip(topics, prefixes, strict=True)
    )
    contract = accepted(mapping)
    assert sorted(contract.joints) == sorted(prefix + joint for prefix in prefixes for joint in ARM)
    for each in contract.controllers:
        pairs = zip(each.joints, each.robot_names, strict=True)
        (prefix,) = {joint.removesuffix(name.name) for joint, name in pairs}
        assert prefix in prefixes
    assert (contract.limits.position_max == 1.0).all(), "the URDF is read by the robot's names"


def test_leader_arms_are_named_as_not_used():
    robot = two_arms(leaders=("/leader_left", "/leader_right"))
    text = contract_text(draft_contract(robot, None, Choices()), ())
    assert "/leader_left/joint_states, /leader_right/joint_states (a leader's?) have the same names" in text


def test_prefixes_are_those_of_the_demonstrations():
    names = [f"{side}/{joint}" for side in ("left", "right") for joint in ARM]
    mapping = written(two_arms(), demonstrations(names))
    assert sorted(mapping["joint_states"]["prefixes"]) == ["left/", "right/"]
    assert mapping["joints"] == names and "dataset_names" not in mapping


def test_topics_may_leave_out_the_prefix_that_the_controllers_have():
    joints = [[f"{side}_{joint}" for joint in ARM] for side in ("left", "right")]
    mapping = written(two_arms(("/left", "/right"), joints=joints), choices=Choices(fps=30.0))
    assert sorted(mapping["joint_states"]["prefixes"]) == ["left_", "right_"]
    assert "joint_names" not in str(mapping["controllers"])
    for limit in mapping["limits"].values():  # the URDF has the short names, and nobody says of which arm
        limit |= {"position_min": -1.0, "position_max": 1.0, "velocity": 1.0}
    assert set(accepted(mapping).joints) == {*joints[0], *joints[1]}


def test_arms_that_nothing_tells_apart_are_asked_for():
    robot = two_arms()
    shared = {"/joint_states": stream("/joint_states", JointState(), 100.0, ARM)}
    mapping = written(crane(controllers=robot.controllers, joint_states=shared))
    assert "joints" in refusal(mapping)


def test_the_joint_states_beside_the_controllers_come_before_a_leaders():
    topics = ("/a_leader/joint_states", "/follower/joint_states")
    robot = crane(
        controllers={
            "/follower/arm": FoundController("/follower/arm", ControllerType.JOINT_TRAJECTORY, JOINTS)
        },
        joint_states={topic: stream(topic, JointState(), 100.0, JOINTS) for topic in topics},
    )
    assert written(robot)["joint_states"]["topic"] == "follower/joint_states"


def test_a_controller_with_a_namespace_of_its_own_and_a_slow_camera():
    arm = FoundController("/follower_left/arm", ControllerType.JOINT_TRAJECTORY, (*JOINTS, "finger"))
    mapping = written(crane(controllers={"/follower_left/arm": arm}), choices=Choices(fps=50.0))
    (name,) = mapping["controllers"]["names"]
    assert mapping["controllers"][name]["node"] == "follower_left/arm"
    assert mapping["cameras"]["head"]["fps"] == 30.0
    assert "controllers" not in refusal(mapping) and "cameras" not in refusal(mapping)


def test_namespaces_are_left_out_and_cameras_have_different_names():
    images = {
        topic: stream(topic, CompressedImage(format="jpeg"))
        for topic in (
            "/cell/top/image_raw/compressed",
            "/cell/top/image_rect/compressed",
            "/usb_cam/image_raw",
        )
    }
    mapping = written(crane(images=images), choices=Choices(namespace="/cell"))
    assert mapping["cameras"]["names"] == ["top", "top_2", "camera"]
    assert mapping["cameras"]["top"]["topic"] == "top/image_raw/compressed"
    assert mapping["cameras"]["camera"]["topic"] == "/usb_cam/image_raw"
    assert mapping["cameras"]["camera"]["compressed"] is True


def test_a_stream_says_its_rate_and_what_was_lost():
    facts = stream("/top", Image(), 25.0)
    assert facts.rate == pytest.approx(25.0) and facts.lost == 0.0
    del facts.stamps[10:20]
    assert facts.rate == pytest.approx(25.0) and facts.lost == pytest.approx(0.2)
    assert np.isnan(StreamFacts("/top", [1, 2]).rate)


def test_entries_with_alike_names_stay_apart():
    def controller(node):
        return FoundController(node, ControllerType.JOINT_TRAJECTORY, JOINTS)

    image = Image(height=480, width=640, encoding="rgb8")
    robot = crane(
        controllers={node: controller(node) for node in ("/left/arm", "/left_arm", "/2nd/arm")},
        images={"/front/left/image_raw": stream("/front/left/image_raw", image)},
    )
    cameras = [
        CameraFeature(f"observation.images.{name}", name, 480, 640, "video") for name in ("front.left", "1")
    ]
    draft = draft_contract(robot, demonstrations(cameras=tuple(cameras)), Choices())
    assert draft["controllers"]["names"] == ["left_arm", "left_arm_2", "controller_2nd_arm"]
    assert draft["controllers"]["left_arm_2"]["node"].value == "left_arm"
    assert draft["cameras"]["names"] == ["front_left", "front_left_2", "camera_1"]
    assert draft["cameras"]["front_left"]["topic"].value == "front/left/image_raw"
    assert draft["cameras"]["front_left_2"]["trained_as"].value == "front.left"


def test_what_a_robot_says_in_several_lines_stays_on_one():
    robot = crane(robot_name="crane\nros__parameters: {}", notes=("the URDF is damaged:\n  line 3\n: x",))
    text = contract_text(draft_contract(robot, None, Choices()), robot.notes)
    assert yaml.safe_load(text)["/**"]["ros__parameters"]["robot_type"] == robot.robot_name
    assert "# note: the URDF is damaged: line 3 : x" in text


def without_joints_of_the_gripper():
    gripper = FoundController("/gripper_controller", ControllerType.PARALLEL_GRIPPER, ())
    return crane(controllers={**crane().controllers, "/gripper_controller": gripper})


def test_joints_of_a_controller_that_does_not_say_are_asked_for_everywhere_they_are_needed():
    mapping = written(without_joints_of_the_gripper())
    *known, asked = mapping["joints"]
    assert known == list(JOINTS) and set(mapping["limits"]) == set(JOINTS)
    assert mapping["joint_states"]["topic"] == "joint_states", "the others are found all the same"
    own = mapping["controllers"]["gripper_controller"]["joints"]
    for text in (asked, own):
        assert text.startswith("FILL_IN") and "gripper_controller" in text
        assert "of no other controller: finger" in text, "what it may be"
    assert "it needs a group in limits" in asked
    problems = refusal(mapping)
    assert "joints: expected" in problems and "each joint of gripper_controller" in problems
    assert "controllers.gripper_controller.joints" in problems


def test_demonstrations_know_the_joints_that_a_controller_does_not_say():
    mapping = written(without_joints_of_the_gripper(), demonstrations())
    assert mapping["joints"] == [*JOINTS, "finger"] and "finger" in mapping["limits"]
    assert "finger" in mapping["controllers"]["gripper_controller"]["joints"]
