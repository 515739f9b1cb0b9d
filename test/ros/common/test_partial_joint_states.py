# SPDX-License-Identifier: Apache-2.0
"""Messages of joint states that lack joints and have others are read, whether they wake the node or wait."""

import threading
import time
from collections.abc import Callable

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import SMALL_CONTRACT
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from waiting import wait_for

from dit_policy_ros.ros.common import SensorSettings, SensorStreams, qos, to_stamp


@pytest.mark.parametrize("on_demand", [False, True])
def test_a_joint_that_no_longer_comes_is_logged_with_the_names_that_come(
    ros_domain, capfd, on_demand
) -> None:
    """It was renamed while the robot ran: the log shows what its messages name instead."""
    robot, node = Node("robot"), Node("node")
    streams = SensorStreams(node, SMALL_CONTRACT, SensorSettings(cameras=(), read_joints_on_demand=on_demand))
    publisher = robot.create_publisher(JointState, "joint_states", qos.JOINT_STATES)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    logged: list[str] = []

    def publish_until(condition: Callable[[], bool], **positions: float) -> bool:
        deadline = time.monotonic() + 20.0
        while not condition() and time.monotonic() < deadline:
            message = JointState(name=list(positions), position=list(positions.values()))
            message.header.stamp = to_stamp(node.get_clock().now().nanoseconds)
            publisher.publish(message)
            executor.spin_once(timeout_sec=0.01)
            streams.measured()  # as the control timer does: reads what waits
        return condition()

    def log() -> str:
        logged.append(capfd.readouterr().err)
        return "".join(logged)

    joints = streams.observations.joints
    assert publish_until(lambda: len(joints) > 3, shoulder=0.1, elbow=0.2, finger=0.01)
    renamed = {"shoulder": 0.1, "elbow": 0.2, "fingr": 0.01}
    assert publish_until(lambda: "joint_states" in streams.faults(streams.now_ns()), **renamed)
    assert "finger (a message names fingr): newest" in streams.faults(streams.now_ns())["joint_states"]
    if not on_demand:  # what waits is read too late to be logged at once
        expected = "names fingr, but finger of the contract does not come"
        assert publish_until(lambda: expected in log(), **renamed)
    assert publish_until(lambda: not streams.faults(streams.now_ns()), shoulder=0.1, elbow=0.2, finger=0.01)
    streams.close()
    executor.shutdown()
    robot.destroy_node()
    node.destroy_node()


def test_a_stream_may_be_read_while_its_messages_are_taken(ros_domain, monkeypatch) -> None:
    """Whatever a callback asks, it must not wait for itself: the control thread reads the joints, too."""
    robot, node = Node("robot"), Node("node")
    monkeypatch.setattr(SensorStreams, "push_joints", lambda streams, *_: read.append(streams.measured()))
    streams = SensorStreams(node, SMALL_CONTRACT, SensorSettings(cameras=(), read_joints_on_demand=True))
    publisher = robot.create_publisher(JointState, "joint_states", qos.JOINT_STATES)
    read: list[object] = []

    def publish_and_read() -> bool:
        publisher.publish(JointState(name=["shoulder"], position=[0.1]))
        streams.measured()
        return bool(read)

    thread = threading.Thread(
        target=wait_for, args=(publish_and_read, 20.0, "a message is taken"), daemon=True
    )
    thread.start()
    thread.join(30.0)
    assert not thread.is_alive(), "it waits for itself"
    assert read and set(read) == {None}, "what is being taken does not count yet"
    streams.close()
    robot.destroy_node()
    node.destroy_node()
