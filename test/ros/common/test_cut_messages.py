# SPDX-License-Identifier: Apache-2.0
"""Messages that the middleware cannot deserialise do no harm: they are missing, the next ones are read."""

import time
from collections.abc import Callable

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import SMALL_CONTRACT
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState

from dit_policy_ros.ros.common import SensorSettings, SensorStreams, qos, to_stamp

CUTS: dict[str, Callable[[bytes], bytes]] = {
    "half of it": lambda raw: raw[: len(raw) // 2],
    "its header alone": lambda raw: raw[:4],
    "nothing": lambda raw: b"",
    "a length beyond its end": lambda raw: raw[:12] + b"\xff\xff\xff\x7f" + raw[16:],
}


@pytest.mark.parametrize("on_demand", [False, True])
def test_cut_messages_are_missing_and_the_next_ones_are_read(ros_domain, on_demand: bool) -> None:
    robot, node = Node("robot"), Node("node")
    streams = SensorStreams(node, SMALL_CONTRACT, SensorSettings(read_joints_on_demand=on_demand))
    joints, top = streams.observations.joints, streams.observations.images["top"]
    publishers = {
        "joints": robot.create_publisher(JointState, "joint_states", qos.JOINT_STATES),
        "top": robot.create_publisher(Image, "top/image_raw", qos.IMAGES),
    }
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin_until(condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 15.0
        while not condition() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.01)
        return condition()

    def messages() -> dict[str, JointState | Image]:
        stamp = to_stamp(node.get_clock().now().nanoseconds)
        image = Image(height=48, width=64, encoding="rgb8", step=192, data=bytes(48 * 192))
        state = JointState(name=list(SMALL_CONTRACT.joints), position=[0.1, 0.01, 0.2])
        image.header.stamp = state.header.stamp = stamp
        return {"joints": state, "top": image}

    def good_ones_arrive() -> bool:
        """Whether a message of each stream is read, with those before it in the queue."""
        counts = joints.counters.accepted, top.counters.accepted
        for name, message in messages().items():
            publishers[name].publish(message)
        return spin_until(lambda: joints.counters.accepted > counts[0] and top.counters.accepted > counts[1])

    assert spin_until(lambda: all(each.get_subscription_count() for each in publishers.values()))
    assert good_ones_arrive()
    for cut in CUTS.values():
        before = joints.counters.accepted, top.counters.accepted
        for name, message in messages().items():
            publishers[name].publish(cut(serialize_message(message)))
        assert good_ones_arrive()
        assert (joints.counters.accepted, top.counters.accepted) == (before[0] + 1, before[1] + 1)
    streams.close()
    executor.shutdown()
    robot.destroy_node()
    node.destroy_node()
