# SPDX-License-Identifier: Apache-2.0
"""Publishes what the simulated joint_trajectory_controllers want, and switches them off and on."""

from array import array
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectoryPoint

from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.controllers import controller_state_type
from dit_policy_ros.ros.sim._fair_lock import FairLock
from dit_policy_ros.sim.controllers import TrajectoryController
from dit_policy_ros.sim.robot import SimulatedRobot

_STATES = QoSProfile(depth=10)  # reliable, as the controllers publish


class ControllerStatePublisher:
    """Publishes <controller>/controller_state while the controller is active, as the real one does.

    The service ~/<controller>/set_active stands for `ros2 control switch_controllers`.
    """

    def __init__(self, node: Node, sim: SimulatedRobot, lock: FairLock, topics: Mapping[str, str]) -> None:
        """lock: guards the simulation's state. topics: of the controllers' states, by the controller."""
        self._node, self._sim, self._lock = node, sim, lock
        self._controllers = {
            name: each for name, each in sim.controllers.items() if isinstance(each, TrajectoryController)
        }
        self._type: Any = controller_state_type(node)
        self._publishers: dict[str, Any] = {}
        for name in self._controllers:
            node.create_service(SetBool, f"~/{name}/set_active", partial(self._on_set_active, name))
            if self._type is not None:
                self._publishers[name] = node.create_publisher(self._type, topics[name], _STATES)

    def publish(self) -> None:
        """Publish the state of every active controller. The caller holds the lock."""
        for name, publisher in self._publishers.items():
            controller = self._controllers[name]
            if not controller.is_active:
                continue
            reference, (measured, velocities) = controller.reference, self._sim.measured(name)
            message = self._type(joint_names=list(controller.joints), speed_scaling_factor=1.0)
            message.header.stamp = to_stamp(reference.time_ns)
            message.reference = _point(reference.position, reference.velocity)
            message.feedback = _point(measured, velocities)
            message.error = _point(reference.position - measured)
            message.output = _point(controller.command)
            publisher.publish(message)

    def _on_set_active(self, name: str, request: SetBool.Request, response: SetBool.Response) -> Any:
        controller = self._controllers[name]
        with self._lock:
            if request.data and not controller.is_active:
                controller.activate(self._sim.measured(name)[0])
            elif not request.data:
                controller.deactivate()
        response.success, response.message = True, f"{name} is {'active' if request.data else 'inactive'}"
        self._node.get_logger().info(response.message)
        return response


def _point(positions: np.ndarray, velocities: np.ndarray | None = None) -> JointTrajectoryPoint:
    point = JointTrajectoryPoint(positions=array("d", positions))
    if velocities is not None:
        point.velocities = array("d", velocities)
    return point
