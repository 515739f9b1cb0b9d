# SPDX-License-Identifier: Apache-2.0
"""Launch files in namespaces, and two robots in one ROS domain."""

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is on no package index; source ROS 2 to run this")
import rclpy
import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from ros_testing import call, spinning
from sensor_msgs.msg import JointState
from small_robot import TASKS, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.core.share import share_directory
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.launching._mock_robot import _in_namespace
from dit_policy_ros.sim.robot import CONTROLLERS, HOME, JOINTS

# One cell by a pushed namespace, the other one by the argument; their policies have different names.
TWO_CELLS = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace

COMMON = {{"checkpoint": {checkpoint!r}, "task": {task!r}, "device": "cpu", "config": {config!r}}}

def robot(**more):
    source = PythonLaunchDescriptionSource({file!r})
    return IncludeLaunchDescription(source, launch_arguments=(COMMON | more).items())

def generate_launch_description():
    left = GroupAction([PushRosNamespace("left_cell"), robot()])
    right = GroupAction([robot(namespace="right_cell", node_name="arm_policy")])
    return LaunchDescription([left, right])
"""
# The usual form of an including file: it pushes its argument `namespace`, and the argument reaches ours, too.
PUSHED_TWICE = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import PushRosNamespace

def generate_launch_description():
    include = IncludeLaunchDescription(PythonLaunchDescriptionSource({file!r}))
    group = GroupAction([PushRosNamespace(LaunchConfiguration("namespace")), include])
    return LaunchDescription([DeclareLaunchArgument("namespace", default_value="cell_1"), group])
"""
UP_WITHIN = 240.0  # [s] two simulators and two policies on a busy machine


def write(path, text: str, **values: str):
    file = str(share_directory() / "launch" / "bimanual.launch.py")
    path.write_text(text.format(file=file, **values))
    return path


def names_of(node) -> set[str]:
    return {f"{namespace.rstrip('/')}/{name}" for name, namespace in node.get_node_names_and_namespaces()}


@pytest.mark.slow
def test_two_robots_in_one_domain_run_apart(ros_domain, launch, tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS, around=HOME)
    config = tmp_path / "slow.yaml"
    shipped = (share_directory() / "config" / "bimanual.yaml").read_text()
    config.write_text(
        shipped.replace("plan_horizon: 0.5", "plan_horizon: 2.0")
    )  # busy computers infer slowly
    file = write(
        tmp_path / "cells.launch.py", TWO_CELLS, checkpoint=str(checkpoint), task=TASKS[0], config=str(config)
    )
    launch(file)
    observer = rclpy.create_node("observer")
    policies = ("/left_cell/policy", "/right_cell/arm_policy")
    statuses: dict[str, PolicyStatus] = {}
    poses: dict[str, list[float]] = {"/left_cell": [], "/right_cell": []}  # of one joint

    def keep(policy: str):
        return lambda message: statuses.update({policy: message})

    def watch(cell: str):
        return lambda message: poses[cell].append(message.position[list(message.name).index(JOINTS[0])])

    for policy in policies:
        observer.create_subscription(PolicyStatus, f"{policy}/status", keep(policy), qos.STATUS)
    for cell in poses:
        observer.create_subscription(JointState, f"{cell}/joint_states", watch(cell), qos.JOINT_STATES)
    with spinning(observer):
        wait_for(
            lambda: all(p in statuses and statuses[p].plans >= 3 for p in policies), UP_WITHIN, "both run"
        )
        assert {*policies, "/left_cell/sim", "/right_cell/sim"} <= names_of(observer)
        assert "/policy" not in names_of(observer)
        for policy in policies:
            cell = policy.rpartition("/")[0]
            for controller in CONTROLLERS:
                topic = f"{cell}/{controller}/joint_trajectory"
                (publisher,) = observer.get_publishers_info_by_topic(topic)
                assert f"{publisher.node_namespace}/{publisher.node_name}" == policy
                assert not observer.get_publishers_info_by_topic(f"/{controller}/joint_trajectory")
        for policy in policies:  # the file's section is called /policy
            request = GetParameters.Request(names=["plan_horizon"])
            (value,) = call(observer, GetParameters, f"{policy}/get_parameters", request).values
            assert value.double_value == 2.0
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
        assert call(observer, ChangeState, f"{policies[0]}/change_state", request, 30.0).success
        plans = statuses[policies[1]].plans
        wait_for(lambda: statuses[policies[1]].plans > plans + 5, 30.0, "the other robot runs on")
        wait_for(
            lambda: statuses[policies[0]].state == PolicyStatus.INACTIVE, 10.0, "the first one is inactive"
        )
    assert max(poses["/right_cell"]) - min(poses["/right_cell"]) > 0.001


def test_a_namespace_that_the_including_file_has_pushed_is_not_pushed_again(ros_domain, launch, tmp_path):
    child = launch(write(tmp_path / "cell.launch.py", PUSHED_TWICE), "robot:=external", "autostart:=false")
    observer = rclpy.create_node("observer")
    with spinning(observer):
        wait_for(lambda: "/cell_1/policy" in names_of(observer), 60.0, "the node in its namespace")
    assert child.alive


def test_a_failed_transition_names_the_node_with_its_namespace(ros_domain, launch, tmp_path):
    arguments = ("robot:=external", "namespace:=left_cell", "node_name:=arm_policy")
    child = launch("bimanual.launch.py", f"checkpoint:={tmp_path / 'nothing'}", *arguments)
    wait_for(lambda: "could not configure" in child.output(), 120, "the failed transition is reported")
    assert "ros2 lifecycle set /left_cell/arm_policy configure" in child.output()


def test_the_mock_robots_controllers_get_their_parameters_in_a_namespace():
    file = share_directory() / "config" / "bimanual_controllers.yaml"
    copy = _in_namespace(file, "cells/left_cell")
    try:
        before, after = (yaml.safe_load(each.read_text()) for each in (file, copy))
    finally:
        copy.unlink()
    assert after == {f"/cells/left_cell/{name}": section for name, section in before.items()}
