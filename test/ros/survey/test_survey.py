# SPDX-License-Identifier: Apache-2.0
"""What a survey finds of a robot that runs in this process."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from ros_testing import spinning  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402
from waiting import wait_for  # noqa: E402

from dit_policy_ros.core.contract import Camera, ControllerType  # noqa: E402
from dit_policy_ros.evaluation.new_contract import look_at_robot  # noqa: E402
from dit_policy_ros.ros.common import to_stamp  # noqa: E402
from dit_policy_ros.ros.survey import (  # noqa: E402
    _controllers,
    find_controllers,
    read_description,
    topics_of,
)
from dit_policy_ros.ros.survey._controllers import Listed, listed  # noqa: E402

URDF = """<robot name="toy">
<joint name="a" type="revolute"><limit lower="-1" upper="1" velocity="2"/></joint></robot>"""
BLACK = np.zeros(48 * 192, np.uint8).tobytes()
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def looking(ros_domain):
    node = rclpy.create_node("looking")
    with spinning(node):
        yield node


class Robot:
    """A controller's node with its parameters, and what publishes."""

    def __init__(self):
        self.controller = rclpy.create_node("arm_controller")
        self.controller.declare_parameter("joints", ["a", "b"])
        self.controller.create_subscription(
            JointTrajectory, "/arm_controller/joint_trajectory", lambda _: None, 1
        )
        self.node = rclpy.create_node("robot")
        self.states = self.node.create_publisher(JointState, "/joint_states", 10)
        self.images = self.node.create_publisher(Image, "/top/image_raw", 10)
        self.description = self.node.create_publisher(String, "/robot_description", LATCHED)
        self.description.publish(String(data=URDF))
        self.node.create_timer(0.02, self._publish)

    def _publish(self):
        stamp = to_stamp(self.node.get_clock().now().nanoseconds)
        state = JointState(name=["b", "a"], position=[0.0, 0.0])
        image = Image(height=48, width=64, encoding="rgb8", step=192, data=BLACK)
        for message, publisher in ((state, self.states), (image, self.images)):
            message.header.stamp = stamp
            publisher.publish(message)


def test_a_robot_is_found_with_its_controllers_joints_cameras_and_limits(looking):
    robot = Robot()
    with spinning(robot.node, robot.controller):
        wait_for(lambda: topics_of(looking, "sensor_msgs/msg/Image"), 10.0, "the camera is discovered")
        facts = look_at_robot(looking, 0.5)
    assert facts.robot_name == "toy" and facts.urdf["a"].velocity == 2.0
    assert facts.urdf_source == "the topic /robot_description"
    (controller,) = facts.controllers.values()
    assert (controller.node, controller.type) == ("/arm_controller", ControllerType.JOINT_TRAJECTORY)
    assert controller.joints == ("a", "b")
    assert list(facts.joint_states["/joint_states"].names) == ["b", "a"]
    camera = facts.images["/top/image_raw"]
    assert (camera.size, camera.encoding) == ((48, 64), "rgb8")
    top = Camera("top", "/top/image_raw", 24, 32, 0.5)
    assert camera.image_problem(top) == ""
    assert "aspect ratio" in camera.image_problem(replace(top, height=32))
    depth = replace(top, height=48, width=64, depth_unit="mm")
    assert "'rgb8' is no depth image" in camera.image_problem(depth)
    assert any("no controller manager" in note for note in facts.notes)


def test_the_description_can_be_a_parameter(looking):
    publisher = rclpy.create_node("robot_state_publisher")
    publisher.declare_parameter("robot_description", URDF)
    with spinning(publisher):
        wait_for(lambda: read_description(looking)[0], 10.0, "the parameter is found")
        assert read_description(looking) == (
            URDF,
            "the parameter robot_description of /robot_state_publisher",
        )


def test_without_a_robot_nothing_is_found_and_that_is_said(looking):
    facts = look_at_robot(looking, 0.1)
    assert not (facts.controllers or facts.images or facts.joint_states or facts.urdf)
    assert len(facts.notes) == 2


def managed(name, kind, claimed=(), required=(), state="active"):
    return SimpleNamespace(
        name=name,
        type=kind,
        state=state,
        claimed_interfaces=list(claimed),
        required_command_interfaces=list(required),
    )


GRIPPER = "parallel_gripper_action_controller/GripperActionController"


def test_a_controller_manager_says_which_joints_a_gripper_claims():
    answer = SimpleNamespace(
        controller=[
            managed("left_gripper_controller", GRIPPER, ["left_gripper/position", "left_gripper/max_effort"]),
            managed("idle_gripper", GRIPPER, required=["right_gripper/position"], state="inactive"),
            managed(
                "arm",
                "joint_trajectory_controller/JointTrajectoryController",
                [f"upstream/{joint}/{kind}" for joint in ("b", "a") for kind in ("position", "velocity")],
            ),
            managed("broadcaster", "joint_state_broadcaster/JointStateBroadcaster"),
        ]
    )
    found = listed(answer, "/left")
    assert found["/left/left_gripper_controller"] == Listed(
        ControllerType.PARALLEL_GRIPPER, "active", ("left_gripper",)
    )
    assert found["/left/idle_gripper"].joints == ("right_gripper",)
    assert found["/left/arm"].joints == ("b", "a"), "in their order"
    assert found["/left/broadcaster"] == Listed(None, "active", ())


def test_a_gripper_whose_parameters_cannot_be_read_has_the_joints_that_it_claims(looking, monkeypatch):
    """No node answers for it: only the controller manager knows it."""
    claimed = managed("hand", GRIPPER, ["left_gripper/position"])
    answer = listed(SimpleNamespace(controller=[claimed, managed("mute", GRIPPER)]))
    monkeypatch.setattr(_controllers, "_managed", lambda _: (answer, []))
    monkeypatch.setattr(_controllers, "_ANSWER_WITHIN", 0.1)
    found = find_controllers(looking)
    assert found.controllers["/hand"].joints == ("left_gripper",)
    assert found.controllers["/mute"].joints == ()
    (note,) = found.notes
    assert note.startswith("/mute: neither parameters") and "into joints and into limits" in note
