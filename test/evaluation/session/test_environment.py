# SPDX-License-Identifier: Apache-2.0
"""Simulated nodes do not meet a real robot: a domain of their own, and a look around before joining one."""

import contextlib
import os

import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from rclpy.qos import QoSProfile  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from dit_policy_ros.evaluation.session import (  # noqa: E402
    SessionError,
    _environment,
    claimed_domain,
    ros_environment,
)
from dit_policy_ros.evaluation.session._occupants import occupants  # noqa: E402

QOS = QoSProfile(depth=1)
TRAJECTORY = "left_arm_controller/joint_trajectory"


@pytest.fixture
def somebody(monkeypatch):
    """`somebody(name)` makes a node in the ROS domain of the user's shell, ``somebody.domain``."""
    with claimed_domain() as domain, contextlib.ExitStack() as stack:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        context = rclpy.Context()
        context.init(domain_id=domain)
        stack.callback(context.try_shutdown)

        def make(name):
            node = rclpy.create_node(name, context=context, use_global_arguments=False)
            stack.callback(node.destroy_node)
            return node

        make.domain = domain
        yield make


def test_a_session_has_a_domain_of_its_own_on_this_machine_only(somebody, monkeypatch, tmp_path):
    somebody("policy")
    users = {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "ROS_STATIC_PEERS": "192.0.2.1",
        "ROS_DISCOVERY_SERVER": "192.0.2.1:11811",
        "ROS_LOCALHOST_ONLY": "0",
    }
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    with ros_environment(tmp_path) as environment:
        own = int(environment["ROS_DOMAIN_ID"])
        assert own != somebody.domain
        assert rclpy.get_default_context().get_domain_id() == own
        assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert not {"ROS_STATIC_PEERS", "ROS_DISCOVERY_SERVER", "ROS_LOCALHOST_ONLY"} & set(environment)
    assert {name: os.environ[name] for name in users} == users
    assert os.environ["ROS_DOMAIN_ID"] == str(somebody.domain)


@pytest.mark.slow
def test_a_domain_where_nobody_is_can_be_joined(somebody, tmp_path):
    somebody("viewer").create_subscription(Image, "top/image_raw", print, QOS)
    with ros_environment(tmp_path, somebody.domain) as environment:
        assert environment["ROS_DOMAIN_ID"] == str(somebody.domain)


@pytest.mark.parametrize("users", [None, "SUBNET"])
def test_a_joined_domain_is_seen_beyond_this_machine_only_if_the_user_says_so(
    somebody, monkeypatch, tmp_path, users
):
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE")
    monkeypatch.setattr(_environment, "refuse_occupied_domain", lambda has_joined: None)  # it takes long
    if users:
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", users)
    with ros_environment(tmp_path, somebody.domain) as environment:
        assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == (users or "LOCALHOST")


@pytest.mark.parametrize(
    ("occupy", "words"),
    [
        (lambda make: make("policy"), "the node /policy runs"),
        (lambda make: make("sim"), "the node /sim runs"),
        (lambda make: make("left_arm_controller"), "the node /left_arm_controller runs"),
        (
            lambda make: make("broadcaster").create_publisher(JointState, "joint_states", QOS),
            "/broadcaster publishes on /joint_states",
        ),
        (
            lambda make: make("watcher").create_subscription(JointState, "joint_states", print, QOS),
            "/watcher listens to /joint_states",
        ),
        (
            lambda make: make("robot").create_subscription(JointTrajectory, TRAJECTORY, print, QOS),
            f"/robot listens to /{TRAJECTORY}",
        ),
        (
            lambda make: make("teleoperation").create_publisher(JointTrajectory, TRAJECTORY, QOS),
            f"/teleoperation publishes on /{TRAJECTORY}",
        ),
        (
            lambda make: make("camera").create_publisher(Image, "top/image_raw", QOS),
            "/camera publishes on /top/image_raw",
        ),
        (
            lambda make: make("gripper").create_service(
                Trigger, "left_gripper_controller/gripper_cmd/_action/send_goal", print
            ),
            "a node serves /left_gripper_controller/gripper_cmd",
        ),
    ],
)
def test_whatever_a_robot_or_another_run_shows_is_found(somebody, wait_for, occupy, words):
    occupy(somebody)
    looking = somebody("looking")
    wait_for(lambda: words in "\n".join(occupants(looking)), 10.0, words)


def test_a_domain_with_a_robot_or_another_run_is_refused(somebody, tmp_path):
    somebody("policy")
    somebody("broadcaster").create_publisher(JointState, "joint_states", QOS)
    with pytest.raises(SessionError) as refused, ros_environment(tmp_path, somebody.domain):
        pass
    for words in ("the node /policy runs", "/broadcaster publishes on /joint_states"):
        assert words in str(refused.value)
    assert f"ROS domain {somebody.domain} is in use" in str(refused.value)
    assert not rclpy.ok()


def test_bystanders_are_no_robot(somebody, wait_for):
    somebody("viewer").create_subscription(Image, "top/image_raw", print, QOS)
    looking = somebody("looking")
    wait_for(lambda: looking.count_subscribers("/top/image_raw"), 10.0, "the viewer is found")
    assert occupants(looking) == []
