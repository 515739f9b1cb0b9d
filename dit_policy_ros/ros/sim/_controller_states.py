# SPDX-License-Identifier: Apache-2.0
"""Publishes what the simulated joint_trajectory_controllers want, and switches them off and on."""

import threading
from array import array
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectoryPoint

from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.controllers import controller_state_type
from dit_policy_ros.sim.robot import JOINTS, BimanualSim, TrajectoryController

_STATES = QoSProfile(depth=10)  # reliable, as the controllers publish


class ControllerStatePublisher:
    """Publishes <controller>/controller_state while the controller is active, as the real one does.

    The service ~/<controller>/set_active stands for `ros2 control switch_controllers`.
    """

    def __init__(self, node: Node, sim: BimanualSim, lock: threading.Lock) -> None:
        """lock: guards the simulation's state."""
        self._node, self._sim, self._lock = node, sim, lock
        self._controllers = {
            name: each for name, each in sim.controllers.items() if isinstance(each, TrajectoryController)
        }
        self._type: Any = controller_state_type(node)
        self._publishers: dict[str, Any] = {}
        for name in self._controllers:
            node.create_service(SetBool, f"~/{name}/set_active", partial(self._on_set_active, name))
            if self._type is not None:
                topic = f"{name}/controller_state"
                self._publishers[name] = node.create_publisher(self._type, topic, _STATES)

    def publish(self) -> None:
        """Publish the state of every active controller. The caller holds the lock."""
        for name, publisher in self._publishers.items():
            controller = self._controllers[name]
            if not controller.is_active:
                continue
            reference, measured = controller.reference, self._sim.joint_positions[_indices(controller)]
            message = self._type(joint_names=list(controller.joints), speed_scaling_factor=1.0)
            message.header.stamp = to_stamp(reference.time_ns)
            message.reference = _point(reference.position, reference.velocity)
            message.feedback = _point(measured, self._sim.joint_velocities[_indices(controller)])
            message.error = _point(reference.position - measured)
            message.output = _point(controller.command)
            publisher.publish(message)

    def _on_set_active(self, name: str, request: SetBool.Request, response: SetBool.Response) -> Any:
        controller = self._controllers[name]
        with self._lock:
            if request.data and not controller.is_active:
                controller.activate(self._sim.joint_positions[_indices(controller)])
            elif not request.data:
                controller.deactivate()
        response.success, response.message = True, f"{name} is {'active' if request.data else 'inactive'}"
        self._node.get_logger().info(response.message)
        return response


def _indices(controller: TrajectoryController) -> list[int]:
    return [JOINTS.index(joint) for joint in controller.joints]


def _point(positions: np.ndarray, velocities: np.ndarray | None = None) -> JointTrajectoryPoint:
    point = JointTrajectoryPoint(positions=array("d", positions))
    if velocities is not None:
        point.velocities = array("d", velocities)
    return point
