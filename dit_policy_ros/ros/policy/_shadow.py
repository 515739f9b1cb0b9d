# SPDX-License-Identifier: Apache-2.0
"""Shadow mode: the policy plans while an operator moves the robot, and the two are compared."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import Contract, ControllerType
from dit_policy_ros.core.recording import CommandedActions
from dit_policy_ros.core.statistics import RecentValues
from dit_policy_ros.ros.common import SensorStreams, listen_to_commands, qos, to_stamp
from dit_policy_ros.ros.controllers import ControllerInterface

_HISTORY = 5.0  # [s] of the operator's commands
_RECENT = 500  # comparisons in the RMS


class ShadowControllerInterface(ControllerInterface):
    """Publishes all plans, also those for grippers, on ~/shadow/... instead of the controllers' topics."""

    _watches = False

    def __init__(self, node: LifecycleNode, contract: Contract) -> None:
        """Create the publishers ~/shadow/<controller>/joint_trajectory."""
        trajectory = ControllerType.JOINT_TRAJECTORY
        controllers = tuple(
            replace(controller, type=trajectory, pose=None) for controller in contract.controllers
        )
        shadowed = replace(contract, controllers=controllers)
        super().__init__(node, shadowed, on_rejected=lambda _: None)

    def unreachable(self) -> dict[str, str]:
        """Always empty: shadow mode needs no controller."""
        return {}

    def _create_publisher(self, controller: str, topic: str, kind: Any) -> Any:
        return self._node.create_lifecycle_publisher(
            JointTrajectory, f"~/shadow/{controller}/joint_trajectory", qos.TRAJECTORIES
        )


class ShadowError:
    """Publishes ~/shadow/error: planned minus operated positions [rad or m], joint by joint.

    The operated positions are the operator's commands to the controllers, as in a recording. If there are
    none (the arms are moved by hand, say) or a controller takes actions, which nobody else can receive, they
    are the measured pose. ``header.frame_id`` says which: "commanded" or "measured".
    """

    def __init__(self, node: Node, sensors: SensorStreams, contract: Contract) -> None:
        self._node, self._sensors, self._contract = node, sensors, contract
        self._arms = ~contract.gripper_mask  # (A,)
        topics_only = all(each.type is not ControllerType.PARALLEL_GRIPPER for each in contract.controllers)
        self._commanded = CommandedActions(contract, _HISTORY) if topics_only else None
        self._squares = RecentValues(_RECENT)  # [rad^2]
        self._publisher = node.create_publisher(JointState, "~/shadow/error", qos.STATUS)
        if self._commanded is not None:
            listen_to_commands(sensors, contract, self._commanded)

    @property
    def rms(self) -> float:
        """RMS over the arm joints and the recent comparisons [rad]; NaN before the first."""
        return math.sqrt(self._squares.mean())

    def compare(self, planned: np.ndarray, now_ns: int) -> None:
        """Compare the planned positions (A,) for ``now_ns`` with the operator's, and publish the error."""
        operated, source = self._commanded.at(now_ns) if self._commanded else None, "commanded"
        if operated is None:
            operated, source = self._sensors.measured(), "measured"
        if operated is None:
            return
        error = planned - operated  # (A,)
        self._squares.add(float(np.mean(error[self._arms] ** 2)))
        if not self._publisher.get_subscription_count():
            return
        message = JointState(name=list(self._contract.joints), position=error.tolist())
        message.header.stamp, message.header.frame_id = to_stamp(now_ns), source
        self._publisher.publish(message)
