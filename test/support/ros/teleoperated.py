# SPDX-License-Identifier: Apache-2.0
"""A small teleoperated robot. Everything it publishes is a known function of time.

At t [s] on its clock the joints are at `state(t)`, their command is `action(t)`, and the image has number
n = 30 t and brightness `brightness(n)`.
"""

import threading
from typing import Any

import numpy as np
from contracts import SMALL_CONTRACT
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.ros.common import qos, to_stamp

SPEED = 0.01  # [rad/s]
LEAD = 0.25  # [rad] of the command ahead of the state
_LEVELS = 80


def state(t: float) -> np.ndarray:
    """Joint positions (3,) [rad] in the contract's order."""
    return SPEED * t + np.arange(3.0)


def action(t: float) -> np.ndarray:
    """Commanded positions (3,) [rad] in the contract's order."""
    return state(t) + LEAD


def brightness(number: int) -> int:
    """Brightness of image `number`. It repeats after 80 images."""
    return 10 + 3 * (number % _LEVELS)


class TeleoperatedRobot(Node):
    """Publishes images (30 Hz), joint states and a leader's joints (100 Hz), and commands on `command()`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("robot", **kwargs)
        self.silent: set[str] = (
            set()
        )  # streams that are not published: camera names, "joint_states", "leader"
        self.sizes = {camera.name: (camera.height, camera.width) for camera in SMALL_CONTRACT.cameras}
        self.joints = SMALL_CONTRACT.joints
        self._began_ns = self.get_clock().now().nanoseconds
        self._sent = dict.fromkeys(self.sizes, 0)
        self._lock = threading.Lock()
        self._images = {
            camera.name: self.create_publisher(Image, camera.topic, qos.IMAGES)
            for camera in SMALL_CONTRACT.cameras
        }
        self._joints = self.create_publisher(JointState, SMALL_CONTRACT.joint_states_topic, qos.JOINT_STATES)
        self._leader = self.create_publisher(JointState, "leader", qos.JOINT_STATES)
        self._commands = {
            controller.name: self.create_publisher(JointTrajectory, controller.topic, qos.TRAJECTORIES)
            for controller in SMALL_CONTRACT.controllers
        }
        group = ReentrantCallbackGroup()
        self.create_timer(0.005, self._publish_images, callback_group=group)
        self.create_timer(0.01, self._publish_joints, callback_group=group)

    def time(self, stamp_ns: int) -> float:
        """A stamp on the robot's clock [s]."""
        return (stamp_ns - self._began_ns) / 1e9

    def now(self) -> float:
        """The robot's clock now [s]."""
        return self.time(self.get_clock().now().nanoseconds)

    def has_subscribers(self) -> bool:
        """Whether the commands of every controller have a subscriber."""
        return all(publisher.get_subscription_count() for publisher in self._commands.values())

    def command(self, duration: float = 600.0) -> None:
        """Commands all controllers to follow `action` until `duration` [s]."""
        for controller in SMALL_CONTRACT.controllers:
            columns = SMALL_CONTRACT.indices(controller)
            msg = JointTrajectory(joint_names=list(controller.joints))
            msg.header.stamp = to_stamp(self._began_ns)
            for t in (0.0, duration):
                point = JointTrajectoryPoint(positions=action(t)[columns].tolist())
                point.time_from_start.sec = int(t)
                msg.points.append(point)
            self._commands[controller.name].publish(msg)

    def _publish_images(self) -> None:
        with self._lock:
            now = self.now()
            for name, publisher in self._images.items():
                while self._sent[name] / 30.0 <= now:
                    number = self._sent[name]
                    self._sent[name] += 1
                    if name not in self.silent:
                        publisher.publish(self._image(name, number))

    def _image(self, name: str, number: int) -> Image:
        height, width = self.sizes[name]
        pixels = np.full((height, width, 3), brightness(number), dtype=np.uint8)
        msg = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=pixels.tobytes())
        msg.header.stamp = to_stamp(self._began_ns + round(number / 30.0 * 1e9))
        return msg

    def _publish_joints(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        positions = state(self.time(now_ns))
        msg = JointState(
            name=["unrelated", *reversed(self.joints)], position=[9.0, *positions[::-1].tolist()]
        )
        msg.header.stamp = to_stamp(now_ns)
        if "joint_states" not in self.silent:
            self._joints.publish(msg)
        msg.position = [9.0, *action(self.time(now_ns))[::-1].tolist()]
        if "leader" not in self.silent:
            self._leader.publish(msg)
