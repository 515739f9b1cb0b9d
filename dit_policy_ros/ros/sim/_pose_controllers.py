# SPDX-License-Identifier: Apache-2.0
"""The simulated controllers of poses in ROS: they take targets, and publish measured poses while active."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool

from dit_policy_ros.core.contract import Controller
from dit_policy_ros.core.poses import PoseArm
from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.poses import pose_message
from dit_policy_ros.ros.sim._fair_lock import FairLock
from dit_policy_ros.sim.poses import PoseController
from dit_policy_ros.sim.robot import SimulatedRobot

_TARGETS, _STATES = QoSProfile(depth=3), QoSProfile(depth=3)  # reliable, as the real controller has them


class PoseControllers:
    """Subscribes to <controller>/target_frame and publishes <controller>/current_pose, if not said otherwise.

    The service ~/<controller>/set_active stands for `ros2 control switch_controllers`.
    """

    def __init__(
        self, node: Node, sim: SimulatedRobot, lock: FairLock, described: Mapping[str, Controller]
    ) -> None:
        """lock: guards the simulation's state. described: the contract's controllers, by name."""
        self._node, self._sim, self._lock = node, sim, lock
        self._parts: list[tuple[PoseController, PoseArm, Any]] = []
        for name, controller in sim.controllers.items():
            arm = described[name].pose if name in described else None
            if not isinstance(controller, PoseController) or arm is None:
                continue
            publisher = node.create_publisher(PoseStamped, arm.state_topic, _STATES)
            self._parts.append((controller, arm, publisher))
            on_target = partial(self._on_target, controller)
            node.create_subscription(PoseStamped, described[name].topic, on_target, _TARGETS)
            node.create_service(SetBool, f"~/{name}/set_active", partial(self._on_set_active, controller))

    def publish(self) -> None:
        """Publish the pose of every arm whose controller is active. The caller holds the lock."""
        for controller, arm, publisher in self._parts:
            if controller.is_active:
                position, matrix = controller.pose(self._sim.measured(controller.name)[0])
                coordinates = arm.chart.coordinates(position, matrix)  # (6,)
                publisher.publish(pose_message(arm, coordinates, to_stamp(self._sim.time_ns)))

    def _on_target(self, controller: PoseController, msg: PoseStamped) -> None:
        point, turn = msg.pose.position, msg.pose.orientation
        position = np.array([point.x, point.y, point.z])  # (3,)
        quaternion = np.array([turn.x, turn.y, turn.z, turn.w])  # (4,)
        reason = controller.accept(msg.header.frame_id, position, quaternion)
        if reason is not None:  # as on a real robot, only this log line says so
            self._node.get_logger().warning(f"{controller.name} drops {reason}", throttle_duration_sec=3.0)

    def _on_set_active(
        self, controller: PoseController, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        with self._lock:
            if request.data and not controller.is_active:
                controller.activate(self._sim.measured(controller.name)[0])
            elif not request.data:
                controller.deactivate()
        state = "active" if request.data else "inactive"
        response.success, response.message = True, f"{controller.name} is {state}"
        self._node.get_logger().info(response.message)
        return response
