# SPDX-License-Identifier: Apache-2.0
"""The controlled robot as others build it: topics, names, units and messages are not the contract's.

Each arm has a namespace. Its arm and its gripper publish joint states of their own on one topic, without
velocities. Both arms have equal joint names. The arms count in degrees, the right one mirrored; grippers are
measured in mm and commanded in percent.
"""

import math

import numpy as np
from control_msgs.msg import JointTrajectoryControllerState
from controlled_robot import PERIOD, ControlledRobot, robot_parameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from small_robot import CONTROLLERS
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.ros.common import qos, to_stamp
from dit_policy_ros.ros.sim._messages import trajectory_from
from dit_policy_ros.sim.controllers import TrajectoryController

DEGREE = math.pi / 180.0
# By joint: its name on the robot, and `joint = value * scale + offset` in joint states and in commands.
NAMES = {"left_joint_1": "lift", "left_gripper": "grip", "right_joint_1": "lift", "right_gripper": "grip"}
STATES = {
    "left_joint_1": (DEGREE, 0.0),
    "left_gripper": (0.001, 0.0),
    "right_joint_1": (-DEGREE, 0.1),
    "right_gripper": (0.001, 0.0),
}
COMMANDS = STATES | {"left_gripper": (0.0004, 0.0), "right_gripper": (-0.0004, 0.04)}
NODES = {
    "left_arm_controller": "/left/arm_controller",
    "left_gripper_controller": "/left/gripper_controller",
    "right_arm_controller": "/right/arm_controller",
    "right_gripper_controller": "/right/gripper_controller",
}


def foreign_parameters(**changes) -> list[Parameter]:
    """The contract of this robot, for a policy that commands it."""
    values = {
        "joint_states__topic": None,
        "joint_states__topics": ["/left/joint_states", "/right/joint_states"],
        "joint_states__prefixes": ["left_", "right_"],
        "robot_names": [
            f"{joint} = {joint.split('_')[0]}_{name} * {STATES[joint][0]} + {STATES[joint][1]}"
            for joint, name in NAMES.items()
        ],
        "max_tracking_error": 0.3,
    }
    for controller, joint in CONTROLLERS.items():
        values[f"controllers__{controller}__node"] = NODES[controller]
        scale, offset = COMMANDS[joint]
        # The arms' commands have the joint states' unit, so a name is enough.
        unit = f" * {scale} + {offset}" if "gripper" in joint else ""
        values[f"controllers__{controller}__joint_names"] = [NAMES[joint] + unit]
    return robot_parameters(**values | changes)


class ForeignRobot(ControlledRobot):
    """silent: joints whose driver publishes nothing. commands: all messages as they came, by controller."""

    def __init__(self, **sag) -> None:
        self.silent: set[str] = set()
        self.commands: dict[str, list[JointTrajectory]] = {name: [] for name in CONTROLLERS}
        super().__init__(**sag)
        self._joint_publishers = {
            side: self.create_publisher(JointState, f"/{side}/joint_states", qos.JOINT_STATES)
            for side in ("left", "right")
        }
        for name in CONTROLLERS:
            self.state_publishers[name] = self.create_publisher(
                JointTrajectoryControllerState, f"{NODES[name]}/controller_state", 10
            )

    def connect(self, name: str) -> None:
        joint = CONTROLLERS[name]
        controller = TrajectoryController(name, (joint,), period_ns=round(PERIOD * 1e9))
        controller.reset(np.array([self.positions[joint] + self.sag[joint]]))
        self.following[name] = controller

        def receive(message: JointTrajectory) -> None:
            self.commands[name].append(message)
            own = self._in_contract_units(message, joint)
            self.received.append((name, own))
            controller.accept(trajectory_from(own), self.now_ns())

        self.controllers[name] = self.create_subscription(
            JointTrajectory, f"{NODES[name]}/joint_trajectory", receive, 50
        )

    def _in_contract_units(self, message: JointTrajectory, joint: str) -> JointTrajectory:
        scale, offset = COMMANDS[joint]
        assert list(message.joint_names) == [NAMES[joint]]
        own = JointTrajectory(header=message.header, joint_names=[joint])
        for point in message.points:
            own.points.append(
                JointTrajectoryPoint(
                    positions=[value * scale + offset for value in point.positions],
                    velocities=[value * scale for value in point.velocities],
                    time_from_start=point.time_from_start,
                )
            )
        return own

    def state_of(self, name: str) -> JointTrajectoryControllerState:
        joint, message = CONTROLLERS[name], super().state_of(name)
        scale, offset = COMMANDS[joint]
        message.joint_names = [NAMES[joint]]
        message.reference.positions = [(value - offset) / scale for value in message.reference.positions]
        return message

    def _publish_joints(self) -> None:
        for joint, name in NAMES.items():
            if joint in self.silent:
                continue
            scale, offset = STATES[joint]
            value = (self.positions[joint] - offset) / scale
            message = JointState(name=["fan", name], position=[math.nan, value])
            message.header.stamp = to_stamp(self.stamp_ns())
            self._joint_publishers[joint.split("_")[0]].publish(message)
