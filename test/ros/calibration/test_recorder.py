# SPDX-License-Identifier: Apache-2.0
"""What is recorded of a motion: the commands as they were due, the joint states and the images' changes."""

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from contracts import SMALL_CONTRACT  # noqa: E402
from ros_testing import now_ns, spinning  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402
from waiting import wait_for  # noqa: E402

from dit_policy_ros.core.errors import CalibrationError  # noqa: E402
from dit_policy_ros.ros.calibration import CalibrationRecorder  # noqa: E402
from dit_policy_ros.ros.common import qos, to_stamp  # noqa: E402

STATES, STEP_NS = 40, 10_000_000
ARM = np.array([0, 2])  # shoulder and elbow in the contract


@pytest.fixture
def nodes(ros_domain):
    node, robot = rclpy.create_node("recording"), rclpy.create_node("robot")
    with spinning(node, robot):
        yield node, robot


def test_commands_states_and_image_motion_are_recorded(nodes):
    node, robot = nodes
    recorder = CalibrationRecorder(node, SMALL_CONTRACT, ("top",), keep=30.0)
    commands = robot.create_publisher(JointTrajectory, "/arm/joint_trajectory", qos.TRAJECTORIES)
    joints = robot.create_publisher(JointState, "/joint_states", 100)
    images = robot.create_publisher(Image, "/top/image_raw", 100)
    for publisher in (commands, joints, images):
        wait_for(publisher.get_subscription_count, 10.0, "the recorder listens")
    last_ns = now_ns(robot)
    begin_ns = last_ns - STATES * STEP_NS
    for k in range(STATES):
        stamp = to_stamp(begin_ns + k * STEP_NS)
        state = JointState(name=["elbow", "finger", "shoulder"], position=[-0.01 * k, 0.02, 0.01 * k])
        image = Image(height=48, width=64, encoding="rgb8", step=192, data=bytes([2 * k]) * (48 * 192))
        for message, publisher in ((state, joints), (image, images)):
            message.header.stamp = stamp
            publisher.publish(message)
    plan = JointTrajectory(joint_names=["shoulder", "elbow"])
    plan.header.stamp = to_stamp(last_ns)
    for second in (0, 3600):
        point = JointTrajectoryPoint(positions=[0.0, 3.6 * second / 3600], velocities=[0.0, 0.0])
        point.time_from_start.sec = second
        plan.points.append(point)
    commands.publish(plan)

    def recorded(read):
        try:
            return read()
        except CalibrationError:
            return None

    def received():
        motion = recorded(lambda: recorder.measured(ARM, begin_ns, last_ns))
        seen = recorded(lambda: recorder.seen("top", begin_ns, last_ns))
        return motion is not None and seen is not None and len(motion.times) > 30 and len(seen.stamps) > 10

    wait_for(received, 20.0, "states and images")
    motion = recorder.measured(ARM, begin_ns, last_ns)
    np.testing.assert_allclose(motion.positions[:, 0], motion.times, atol=1e-6)  # 0.01 rad in 0.01 s
    np.testing.assert_allclose(motion.positions[:, 1], -motion.times, atol=1e-6)
    seen = recorder.seen("top", begin_ns, last_ns)
    steps = np.round(np.diff(seen.stamps) / 0.01)  # some images may be lost
    np.testing.assert_allclose(seen.changes, 2.0 * steps, atol=1e-3)
    wait_for(
        lambda: recorded(lambda: recorder.commanded("arm", last_ns + 10**12, last_ns + 10**12 + 10**9)),
        20.0,
        "the command",
    )
    commanded = recorder.commanded("arm", last_ns + 10**12, last_ns + 10**12 + 10**9)  # after 1000 s
    assert commanded.positions.shape == (200, 2)
    assert (np.diff(commanded.positions[:, 1]) > 0.0).all() and not commanded.positions[:, 0].any()
    recorder.close()


def test_what_did_not_come_is_said(nodes):
    node, _ = nodes
    recorder = CalibrationRecorder(node, SMALL_CONTRACT, ("top",), keep=5.0)
    end_ns = now_ns(node)
    begin_ns = end_ns - 10**9
    for read, words in (
        (lambda: recorder.commanded("arm", begin_ns, end_ns), "no command for arm"),
        (lambda: recorder.measured(ARM, begin_ns, end_ns), "no joint states"),
        (lambda: recorder.seen("top", begin_ns, end_ns), "no image of camera top"),
    ):
        with pytest.raises(CalibrationError, match=words):
            read()
    recorder.close()
