# SPDX-License-Identifier: Apache-2.0
"""Publishes one vector of each kind, and any number of cameras. Importing it needs rclpy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import WrenchStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, Imu, JointState
from std_msgs.msg import Float64MultiArray, UInt8MultiArray

from dit_policy_ros.ros.common import qos, to_stamp

AXES = ("x", "y", "z")
ORIENTATION = tuple(f"orientation.{axis}" for axis in (*AXES, "w"))


def vector_groups(joints: Sequence[str]) -> dict[str, Any]:
    """The contract's vectors of all kinds, for a robot with these joints."""
    joint_state = {"type": "sensor_msgs/msg/JointState", "topic": "measured", "max_age": 0.6}
    return {
        "names": ["effort", "speed", "wrench", "force", "imu", "array", "skin"],
        "effort": joint_state | {"field": "effort"},
        "speed": joint_state | {"field": "velocity", "entries": [joints[1]]},
        "wrench": {"type": "geometry_msgs/msg/WrenchStamped", "topic": "wrench", "max_age": 0.6},
        "force": {
            "type": "geometry_msgs/msg/WrenchStamped", "topic": "force", "max_age": 0.6,
            "entries": ["torque.y", "force.z"],
        },
        "imu": {
            "type": "sensor_msgs/msg/Imu", "topic": "imu", "max_age": 0.6,
            "entries": ["angular_velocity.z", "linear_acceleration.x", *ORIENTATION],
        },
        "array": {"type": "std_msgs/msg/Float64MultiArray", "topic": "array", "max_age": 0.6, "size": 3},
        "skin": {
            "type": "std_msgs/msg/UInt8MultiArray", "topic": "skin", "max_age": 0.6,
            "entries": ["thumb", "index"],
        },
    }  # fmt: skip


def entries_of(joints: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The names of the entries of each vector."""
    return {
        "effort": tuple(joints),
        "speed": (joints[1],),
        "wrench": tuple(f"{part}.{axis}" for part in ("force", "torque") for axis in AXES),
        "force": ("torque.y", "force.z"),
        "imu": ("angular_velocity.z", "linear_acceleration.x", *ORIENTATION),
        "array": ("array_0", "array_1", "array_2"),
        "skin": ("thumb", "index"),
    }


def expected(t: float, joints: Sequence[str]) -> dict[str, np.ndarray]:
    """What each vector is at t [s]."""
    half = 0.05 * t  # of the angle about z [rad]
    wrench = t * np.arange(1.0, 7.0)  # (6,)
    return {
        "effort": t * np.arange(1.0, len(joints) + 1),
        "speed": np.array([-2.0 * t]),
        "wrench": wrench,
        "force": wrench[[4, 2]],
        "imu": np.array([0.1, 3.0 * t, 0.0, 0.0, np.sin(half), np.cos(half)]),
        "array": t * np.array([1.0, -1.0, 0.5]),
        "skin": np.array([7.0, 255.0]),  # whole numbers, so it does not change
    }


class FurtherStreams(Node):
    """Publishes all vectors at 100 Hz.

    Args:
        joints: of the robot.
        time: the time t [s] of a stamp [ns].
    """

    def __init__(self, joints: Sequence[str], time: Callable[[int], float], **kwargs: Any) -> None:
        super().__init__("further_streams", **kwargs)
        self._joints, self._time = tuple(joints), time
        kinds = {
            "measured": JointState, "wrench": WrenchStamped, "force": WrenchStamped, "imu": Imu,
            "array": Float64MultiArray, "skin": UInt8MultiArray,
        }  # fmt: skip
        self._of = {
            topic: self.create_publisher(kind, topic, qos.JOINT_STATES) for topic, kind in kinds.items()
        }
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.01, self._publish, clock=clock, callback_group=ReentrantCallbackGroup())

    def _publish(self) -> None:
        stamp = self.get_clock().now().nanoseconds
        values = expected(self._time(stamp), self._joints)
        measured = JointState(name=["other", *self._joints], position=[0.0] * (len(self._joints) + 1))
        measured.effort = [9.0, *values["effort"].tolist()]
        measured.velocity = [9.0, *([values["speed"][0]] * len(self._joints))]
        wrench = WrenchStamped()
        for number, axis in enumerate(AXES):
            setattr(wrench.wrench.force, axis, float(values["wrench"][number]))
            setattr(wrench.wrench.torque, axis, float(values["wrench"][3 + number]))
        imu = Imu()
        imu.angular_velocity.z, imu.linear_acceleration.x = values["imu"][:2].tolist()
        # The same orientation, with the other sign: both are on the topic, as drivers jump between them.
        sign = -1.0 if stamp // 50_000_000 % 2 else 1.0
        imu.orientation.z, imu.orientation.w = (sign * values["imu"][4:]).tolist()
        for topic, message in (("measured", measured), ("wrench", wrench), ("force", wrench), ("imu", imu)):
            message.header.stamp = to_stamp(stamp)
            self._of[topic].publish(message)
        self._of["array"].publish(Float64MultiArray(data=values["array"].tolist()))
        self._of["skin"].publish(UInt8MultiArray(data=values["skin"].astype(int).tolist()))


class ManyCameras(Node):
    """Publishes cameras `cam_0`, `cam_1`, ... at 30 Hz; camera N has the brightness 20 N + 10."""

    def __init__(self, count: int, height: int, width: int, **kwargs: Any) -> None:
        super().__init__("many_cameras", **kwargs)
        self._size, self._number = (height, width), 0
        self._of = [self.create_publisher(Image, f"cam_{n}/image_raw", qos.IMAGES) for n in range(count)]
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / 30.0, self._publish, clock=clock, callback_group=ReentrantCallbackGroup())

    def _publish(self) -> None:
        (height, width), self._number = self._size, self._number + 1
        stamp = self.get_clock().now().to_msg()
        for number, publisher in enumerate(self._of):
            pixels = np.full((height, width, 3), 20 * number + 10, np.uint8)
            pixels[0, 0] = self._number % 2 * 90  # so that it does not look frozen
            msg = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=pixels.tobytes())
            msg.header.stamp = stamp
            publisher.publish(msg)


def camera_groups(count: int, height: int, width: int) -> dict[str, Any]:
    """The contract's cameras."""
    size = {"height": height, "width": width, "max_age": 0.6}
    names = [f"cam_{number}" for number in range(count)]
    return {"names": names, **{name: {"topic": f"{name}/image_raw", **size} for name in names}}
