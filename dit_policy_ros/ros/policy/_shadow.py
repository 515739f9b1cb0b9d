# SPDX-License-Identifier: Apache-2.0
"""Shadow mode: the policy watches an operator, and what it would have done is compared with what was done."""

import math
from dataclasses import replace

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from sensor_msgs.msg import JointState

from dit_policy_ros.core.contract import Contract, ControllerType
from dit_policy_ros.core.recording import CommandedActions
from dit_policy_ros.core.statistics import RecentValues
from dit_policy_ros.ros.common import SensorStreams, listen_to_commands, qos, to_stamp
from dit_policy_ros.ros.controllers import ControllerInterface

_HISTORY = 5.0  # [s] of the operator's commands
_RECENT = 500  # comparisons that the RMS is over


class ShadowControllerInterface(ControllerInterface):
    """Takes plans as the controllers would, whatever their type, and publishes them where none listens."""

    def __init__(self, node: LifecycleNode, contract: Contract) -> None:
        """Create the publishers ~/shadow/<controller>/joint_trajectory."""
        kind = ControllerType.JOINT_TRAJECTORY
        controllers = tuple(replace(controller, type=kind) for controller in contract.controllers)
        plain = replace(contract, controllers=controllers)
        super().__init__(node, plain, on_rejected=lambda _: None, address=lambda topic: f"~/shadow/{topic}")

    def missing(self) -> dict[str, str]:
        """None: nobody has to listen."""
        return {}


class Shadow:
    """Publishes ~/shadow/error: planned minus operated positions [rad or m], joint by joint.

    What the operator does is what the controllers were told, as in a recording; as long as nothing commands
    them (arms moved by hand, say), or where commands are actions that cannot be heard, it is the measured
    pose. ``header.frame_id`` says which: "commanded" or "measured".
    """

    def __init__(self, node: Node, sensors: SensorStreams, contract: Contract) -> None:
        self._node, self._sensors, self._contract = node, sensors, contract
        self._arms = ~contract.gripper_mask  # (A,)
        audible = all(each.type is ControllerType.JOINT_TRAJECTORY for each in contract.controllers)
        self._commanded = CommandedActions(contract, _HISTORY) if audible else None
        self._squares = RecentValues(_RECENT)  # [rad^2]
        self._publisher = node.create_publisher(JointState, "~/shadow/error", qos.STATUS)
        if self._commanded is not None:
            listen_to_commands(sensors, contract, self._commanded)

    @property
    def rms(self) -> float:
        """Over the arm joints and the recent comparisons [rad]; NaN before the first."""
        return math.sqrt(self._squares.mean())

    def compare(self, planned: np.ndarray, now_ns: int) -> None:
        """Hold the plan's positions (A,) at this moment [ns] against what the operator does."""
        operated, source = self._commanded.at(now_ns) if self._commanded else None, "commanded"
        if operated is None:
            operated, source = self._sensors.measured(), "measured"
        if operated is None:
            return
        error = planned - operated  # (A,)
        self._squares.add(float(np.mean(error[self._arms] ** 2)))
        message = JointState(name=list(self._contract.joints), position=error.tolist())
        message.header.stamp, message.header.frame_id = to_stamp(now_ns), source
        self._publisher.publish(message)

    def close(self) -> None:
        """Ends publishing; the subscriptions end with the sensors'."""
        self._node.destroy_publisher(self._publisher)
