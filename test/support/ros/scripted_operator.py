# SPDX-License-Identifier: Apache-2.0
"""A scripted operator of any robot: it swings the arms about the pose where it found them."""

from array import array
from functools import partial
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.core.contract import Contract, ControllerType
from dit_policy_ros.ros.common import qos, to_stamp

SWING = 0.25  # [rad] of each arm joint
PERIOD = 2.0  # [s] of a swing


class ScriptedOperator(Node):
    """Publishes a leader's joints, and commands to every trajectory controller, on simulated time.

    It begins as soon as it knows the joints. Grippers keep their position.
    """

    def __init__(self, contract: Contract, **kwargs: Any) -> None:
        super().__init__("operator", parameter_overrides=[Parameter("use_sim_time", value=True)], **kwargs)
        self._contract = contract
        self.home: np.ndarray | None = None  # (A,)
        self.positions: np.ndarray | None = None  # (A,), the newest
        self._leader = self.create_publisher(JointState, "leader/joint_states", qos.COMMANDS)
        self._arms = {
            each: self.create_publisher(JointTrajectory, each.topic, qos.TRAJECTORIES)
            for each in contract.controllers
            if each.type is ControllerType.JOINT_TRAJECTORY
        }
        self._values: dict[str, float] = {}  # by the robot's name
        for each in contract.joint_states:
            arrived = partial(self._on_joints, each.prefix)
            self.create_subscription(JointState, each.topic, arrived, qos.NEWEST)
        self._timer = self.create_timer(contract.dt, self._act)

    def stop(self) -> None:
        """Let go of the arms; joints are still read."""
        self._timer.cancel()
        for publisher in self._arms.values():
            self.destroy_publisher(publisher)
        self._arms = {}

    def _on_joints(self, prefix: str, message: JointState) -> None:
        self._values |= {prefix + name: v for name, v in zip(message.name, message.position, strict=True)}
        mapping = self._contract.robot_mapping
        if all(name in self._values for name in mapping.sources):
            self.positions = mapping(np.array([self._values[name] for name in mapping.sources]))
            self.home = self.positions if self.home is None else self.home

    def _act(self) -> None:
        if self.home is None:
            return
        now_ns = self.get_clock().now().nanoseconds
        swing = SWING * np.sin(2 * np.pi * now_ns * 1e-9 / PERIOD)
        target = self.home + np.where(self._contract.gripper_mask, 0.0, swing)  # (A,)
        leader = JointState(name=list(self._contract.joints), position=array("d", target))
        leader.header.stamp = to_stamp(now_ns)
        self._leader.publish(leader)
        reach = Duration(nanosec=2 * self._contract.dt_ns)
        for controller, publisher in self._arms.items():
            positions = controller.mapping.inverse(target[self._contract.indices(controller)])
            point = JointTrajectoryPoint(positions=array("d", positions), time_from_start=reach)
            publisher.publish(JointTrajectory(joint_names=list(controller.mapping.sources), points=[point]))
