# SPDX-License-Identifier: Apache-2.0
"""Bags of the small contract's robot."""

from pathlib import Path

import numpy as np
from contracts import SMALL_CONTRACT
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.ros.common import to_stamp

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND


def messages(seconds: float = 6.0, begin_ns: int = BEGIN) -> list[tuple[int, str, object]]:
    """The messages of a robot: (received [ns], topic, message). One camera is silent for a while."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(int(seconds * 30)):
        stamp = begin_ns + number * SECOND // 30
        for camera in SMALL_CONTRACT.cameras:
            if camera.name == "wrist" and 100 <= number < 104:
                continue
            shape = (camera.height, camera.width, 3)
            pixels = np.full(shape, 20 + number % 200, np.uint8) + rng.integers(0, 9, shape, dtype=np.uint8)
            image = Image(
                height=shape[0], width=shape[1], encoding="rgb8", step=3 * shape[1], data=pixels.tobytes()
            )
            image.header.stamp = to_stamp(stamp)
            found.append((stamp + 20_000_000 + int(rng.integers(5_000_000)), f"/{camera.topic}", image))
    for number in range(int(seconds * 100)):
        stamp = begin_ns + number * SECOND // 100
        t = number / 100
        position = dict(zip(SMALL_CONTRACT.joints, (t / 5, t / 200, -t / 5), strict=True))
        joints = JointState(name=list(position), position=list(position.values()))
        joints.header.stamp = to_stamp(stamp)
        found.append((stamp + 1_000_000, "/joint_states", joints))
        if number % 5 == 0:
            for controller in SMALL_CONTRACT.controllers:
                point = JointTrajectoryPoint(positions=[position[name] + 0.002 for name in controller.joints])
                point.time_from_start.nanosec = 50_000_000
                command = JointTrajectory(joint_names=list(controller.joints), points=[point])
                found.append((stamp + 2_000_000, f"/{controller.topic}", command))
    for when, task in ((1.0, "first"), (3.0, ""), (3.5, "second"), (5.0, "")):
        found.append((begin_ns + round(when * SECOND), "/episode", String(data=task)))
    return sorted(found, key=lambda entry: entry[0])


UNKNOWN = "unknown"  # ros2 bag has no definition of service events to store


def write_bag(path: Path, plugin: StoragePlugin, found: list[tuple[int, str, object]]) -> Path:
    store = get_typestore(Stores.LATEST)
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for received, topic, message in found:
            kind = type(message)
            if (topic, kind) not in connections:
                package, folder = kind.__module__.split(".")[:2]
                name = f"{package}/{folder}/{kind.__name__}"
                unknown = {"msgdef": "string unknown", "rihs01": UNKNOWN}
                description = unknown if folder == "srv" else {"typestore": store}
                connections[topic, kind] = writer.add_connection(topic, name, **description)
            writer.write(connections[topic, kind], received, serialize_message(message))
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace(UNKNOWN, "''"))
    return path
