# SPDX-License-Identifier: Apache-2.0
"""The scripted operator and the simulated robot as two processes."""

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from ros_testing import call, spinning  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from dit_policy_ros.ros.common import stamp_ns  # noqa: E402
from dit_policy_ros.sim.robot import HOME  # noqa: E402
from dit_policy_ros.srv import SetTask  # noqa: E402

START, DONE = 90.0, 90.0  # [s] on a busy machine
LIFT, PUSH = "lift the red cube with the left arm", "push the blue cube to the right zone"


@pytest.mark.slow  # an operator does two tasks in real time
def test_it_waits_for_a_task_and_does_one_task_after_the_other(ros_domain, start_process, wait_for) -> None:
    start_process(
        "sim",
        "dit_policy_ros.ros.sim.sim_node",
        "--ros-args",
        "-p",
        "seed:=4",
        "-p",
        "camera_rate:=1.0",
        "-p",
        "discovery_time:=0.0",
    )
    teleop = start_process(
        "teleop",
        "dit_policy_ros.ros.sim.teleop_node",
        "--ros-args",
        "-p",
        "seed:=1",
        "-p",
        "disturbance:=0.01",
    )
    node = rclpy.create_node("listener")
    referee: dict[str, str] = {}
    commands: list[JointTrajectory] = []
    node.create_subscription(
        DiagnosticStatus, "/sim/referee", lambda m: referee.update({v.key: v.value for v in m.values}), 1
    )
    node.create_subscription(JointTrajectory, "/left_arm_controller/joint_trajectory", commands.append, 10)
    leader: list[JointState] = []
    node.create_subscription(JointState, "/leader/joint_states", leader.append, 10)
    with spinning(node):
        client = node.create_client(SetTask, "/teleop/set_task")
        wait_for(lambda: client.service_is_ready() and referee, START, "both nodes are up")
        refused = call(node, SetTask, "/teleop/set_task", SetTask.Request(task="juggle"))
        assert not refused.success and "knows no task 'juggle'" in refused.message
        assert LIFT in refused.known_tasks and len(refused.known_tasks) == 21
        wait_for(lambda: len(commands) > 10, 20.0, "it holds the arms")
        assert "MultiThreadedExecutor" not in teleop.output(), "rclpy advises against a single thread"
        assert all(command.points == commands[0].points for command in commands)
        assert call(node, SetTask, "/teleop/set_task", SetTask.Request(task=LIFT)).success
        wait_for(lambda: referee[f"{LIFT}/done"] != "no", DONE, "the cube is lifted")
        assert commands[-1].points != commands[0].points
        stamps = np.array([stamp_ns(message.header.stamp) for message in leader])
        periods = np.diff(stamps) * 30e-9
        np.testing.assert_allclose(periods, np.round(periods), atol=1e-6, err_msg="equally spaced")
        difference = np.array(leader[-1].position[:6]) - commands[-1].points[0].positions
        assert 0.0 < np.abs(difference).max() < 0.1, "the commands are disturbed, the leader is not"
        assert call(node, SetBool, "/teleop/hold", SetBool.Request(data=False)).success
        assert call(node, Trigger, "/sim/reset", Trigger.Request()).success
        wait_for(lambda: referee[f"{LIFT}/done"] == "no", 10.0, "a new scene")
        released_at = len(commands)
        wait_for(lambda: float(referee["scene_time"]) > 1.0, 20.0, "time passes")
        assert len(commands) == released_at, "it does not command released arms"
        assert call(node, SetBool, "/teleop/hold", SetBool.Request(data=True)).success
        wait_for(lambda: len(commands) > released_at + 10, 20.0, "it holds the arms in place")
        held = commands[-1].points[0].positions
        np.testing.assert_allclose(held, HOME[:6], atol=0.02)
        assert call(node, SetTask, "/teleop/set_task", SetTask.Request(task=PUSH)).success
        wait_for(lambda: referee[f"{PUSH}/done"] != "no", DONE, "the cube is pushed")
        assert referee["trajectories_rejected"] == "0"
