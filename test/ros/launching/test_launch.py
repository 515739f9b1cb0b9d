# SPDX-License-Identifier: Apache-2.0
"""The launch files, run by launch_ros as `ros2 launch` does."""

import importlib.util
import signal

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is on no package index; source ROS 2 to run this")
import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launched import node_process, processes_of
from ros_testing import spinning
from sensor_msgs.msg import JointState
from small_robot import TASKS, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.core.transport_profile import PROFILE
from dit_policy_ros.msg import PolicyStatus, RecorderStatus
from dit_policy_ros.ros.launching._actions import unknown_arguments
from dit_policy_ros.sim.robot import HOME, JOINTS


def test_one_command_starts_simulator_and_policy(ros_domain, launch, tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS, around=HOME)
    child = launch("bimanual.launch.py", f"checkpoint:={checkpoint}", f"task:={TASKS[0]}", "device:=cpu")
    observer = rclpy.create_node("observer")
    newest: dict[str, PolicyStatus] = {}
    observer.create_subscription(PolicyStatus, "/policy/status", lambda m: newest.update(status=m), 10)
    with spinning(observer):
        wait_for(lambda: "status" in newest and newest["status"].plans >= 3, 120, "plans are sent")
    assert newest["status"].task == TASKS[0]
    sim, policy = node_process(child, "sim_node"), node_process(child, "policy_node")
    assert sim is not None
    assert policy is not None
    assert f"{PROFILE}=".encode() in (sim / "environ").read_bytes()
    assert f"{PROFILE}=".encode() not in (policy / "environ").read_bytes()
    child.process.send_signal(signal.SIGINT)
    wait_for(lambda: not child.alive, 20, "the launch ends on Ctrl-C")
    assert child.process.returncode == 0
    assert processes_of(child) == {}
    assert child.output().count("process has finished cleanly") == 2
    assert "Caught exception" not in child.output()


def test_a_wrong_checkpoint_is_reported_and_the_rest_keeps_running(ros_domain, launch, tmp_path):
    child = launch("bimanual.launch.py", f"checkpoint:={tmp_path / 'nothing'}")
    wait_for(lambda: "could not configure" in child.output(), 120, "the failed transition is reported")
    assert str(tmp_path / "nothing") in child.output()
    assert "ros2 lifecycle set /policy configure; ros2 lifecycle set /policy activate" in child.output()
    assert child.alive
    assert node_process(child, "sim_node") is not None


def test_a_ready_robot_comes_up_in_simulation_by_its_name(ros_domain, launch, tmp_path):
    if importlib.util.find_spec("gym_aloha") is None:
        pytest.skip("gym-aloha is not installed: make setup")
    child = launch("record.launch.py", "config:=aloha", f"dataset:={tmp_path / 'dataset'}")
    wait_for(lambda: "the robot is up: cameras ['cam_high'" in child.output(), 120, "the robot is up")
    wait_for(lambda: "ready: call ~/start_episode" in child.output(), 120, "the recorder is ready")


def test_a_real_robot_without_a_task_is_not_activated(ros_domain, launch, tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS, around=HOME)
    child = launch("bimanual.launch.py", f"checkpoint:={checkpoint}", "robot:=external")
    wait_for(lambda: "could not activate" in child.output(), 120, "the refused activation is reported")
    assert "no task" in child.output()
    assert node_process(child, "sim_node") is None


def installed(*packages: str) -> bool:
    try:
        return all(get_package_prefix(package) for package in packages)
    except (PackageNotFoundError, OSError):  # OSError if no workspace is sourced
        return False


REAL_CONTROLLERS = installed("controller_manager", "joint_trajectory_controller", "robot_state_publisher")


@pytest.mark.skipif(REAL_CONTROLLERS, reason="ros2_control is installed")
def test_missing_packages_of_the_mock_robot_are_listed_with_the_install_command(ros_domain, launch):
    child = launch("bimanual.launch.py", "robot:=mock")
    wait_for(lambda: not child.alive, 60, "the launch ends")
    assert child.process.returncode != 0
    assert "robot:=mock needs the packages" in child.output()
    assert "ros2-control" in child.output()


@pytest.mark.skipif(not REAL_CONTROLLERS, reason="ros2_control and ros2_controllers are not installed")
def test_the_policy_moves_the_mock_robot_through_the_real_controllers(ros_domain, launch, tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS)
    child = launch("bimanual.launch.py", "robot:=mock", f"checkpoint:={checkpoint}", f"task:={TASKS[0]}")
    observer = rclpy.create_node("observer")
    newest: dict[str, PolicyStatus] = {}
    poses: list[dict[str, float]] = []
    observer.create_subscription(PolicyStatus, "/policy/status", lambda m: newest.update(status=m), 10)
    observer.create_subscription(
        JointState, "/joint_states", lambda m: poses.append(dict(zip(m.name, m.position, strict=True))), 10
    )
    with spinning(observer):
        wait_for(lambda: "status" in newest and newest["status"].plans >= 20, 180, "plans are sent")
        first = poses[0]
        wait_for(
            lambda: max(abs(poses[-1][joint] - first[joint]) for joint in JOINTS) > 0.02, 30, "the arms move"
        )
    assert newest["status"].state == PolicyStatus.RUNNING
    assert "rejected" not in child.output()
    child.process.send_signal(signal.SIGINT)
    wait_for(lambda: not child.alive, 30, "the launch ends on Ctrl-C")


def test_shadow_mode_is_a_launch_argument(ros_domain, launch, tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS)
    launch("bimanual.launch.py", f"checkpoint:={checkpoint}", f"task:={TASKS[0]}", "dry_run:=true")
    observer = rclpy.create_node("observer")
    newest: dict[str, PolicyStatus] = {}
    observer.create_subscription(PolicyStatus, "/policy/status", lambda m: newest.update(status=m), 10)
    with spinning(observer):
        wait_for(lambda: "status" in newest and newest["status"].plans >= 3, 120, "plans are made")
    assert newest["status"].dry_run


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["robot:=real"], "robot"),
        (["dry_run:=perhaps"], "dry_run"),
        (["config:=/nowhere/robot.yaml"], "config:=/nowhere/robot.yaml is not a file"),
        (["config:=alohaa"], "Did you mean 'aloha'?"),
        (["robot:=external", "scene:=my_robot.xml"], "scene:= is for robot:=sim"),
        (["robot:=mock", "config:=aloha"], "robot:=mock has the built-in robot's description alone"),
        (["chekpoint:=out"], "There is no launch argument 'chekpoint'. Did you mean 'checkpoint'?"),
        (["velocity_scale:=0.1"], "There is no launch argument 'velocity_scale'."),
    ],
)
def test_wrong_arguments_end_the_launch(ros_domain, launch, arguments, complaint):
    child = launch("bimanual.launch.py", *arguments)
    wait_for(lambda: not child.alive, 30, "the launch ends")
    assert child.process.returncode != 0
    assert complaint in child.output()
    assert processes_of(child) == {}


def test_arguments_of_this_launch_file_alone_are_checked(tmp_path):
    names = ["robot", "config"]
    file = tmp_path / "bimanual.launch.py"
    file.touch()
    (tmp_path / "cells").mkdir()
    including = tmp_path / "cells" / "bimanual.launch.py"  # has the same name
    including.touch()

    def unknown(*arguments: str) -> list[str]:
        return unknown_arguments(["ros2", "launch", *map(str, arguments)], str(file), names)

    assert unknown("dit_policy_ros", "bimanual.launch.py", "robot:=sim", "config:=a:=b") == []
    (line,) = unknown("--noninteractive", "dit_policy_ros", "bimanual.launch.py", "robt:=sim", "config:=a")
    assert "'robt'. Did you mean 'robot'?" in line
    assert len(unknown(file, "robt:=sim", "speed:=1")) == 2
    assert unknown(including, "robt:=sim") == []
    assert unknown("cells", "bimanual.launch.py", "robt:=sim") == []
    assert unknown("dit_policy_ros", "record.launch.py", "robt:=sim") == []


def test_the_recorder_starts_beside_the_simulator(ros_domain, launch, tmp_path):
    child = launch("record.launch.py", f"dataset:={tmp_path / 'dataset'}")
    observer = rclpy.create_node("observer")
    newest: dict[str, RecorderStatus] = {}
    observer.create_subscription(RecorderStatus, "/recorder/status", lambda m: newest.update(status=m), 10)
    with spinning(observer):
        ready = RecorderStatus.READY
        wait_for(lambda: "status" in newest and newest["status"].state == ready, 90, "the recorder is ready")
    assert newest["status"].dataset == str(tmp_path / "dataset")
    child.process.send_signal(signal.SIGINT)
    wait_for(lambda: not child.alive, 30, "the launch ends on Ctrl-C")
    assert processes_of(child) == {}
