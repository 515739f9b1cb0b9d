# SPDX-License-Identifier: Apache-2.0
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from control_msgs.action import ParallelGripperCommand
from rclpy.action.client import ActionClient
from rclpy.action.server import ActionServer
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.ros.common import Resources


class Logger:
    def __init__(self):
        self.errors = []

    def error(self, text):
        self.errors.append(text)


def test_releases_run_newest_first_and_one_that_fails_stops_no_other():
    logger, released = Logger(), []
    resources = Resources(logger)

    def fail(error):
        raise error

    resources.add("first", released.append)
    resources.callback(lambda: fail(DitPolicyError("the disk is full")))
    assert resources.add("second", released.append) == "second"
    resources.callback(lambda: fail(RuntimeError("boom")))
    assert not resources.release_all()
    assert released == ["second", "first"]
    assert "boom" in logger.errors[0] and "Traceback" in logger.errors[0]
    assert "the disk is full" in logger.errors[1] and "Traceback" not in logger.errors[1]
    assert resources.release_all() and len(released) == 2


def entities(node):
    kinds = ("publishers", "subscriptions", "clients", "services", "timers", "guards", "waitables")
    return {kind: len(list(getattr(node, kind))) for kind in kinds}


@pytest.mark.parametrize("fails", [False, True])
def test_every_kind_of_entity_is_destroyed_and_others_stay(ros_domain, fails):
    node = LifecycleNode("node")
    node.create_publisher(Empty, "before", 1)
    before, managed = entities(node), len(node._managed_entities)
    resources = Resources(node.get_logger())
    try:
        with resources.collecting(node):
            node.create_publisher(Empty, "a", 1)
            node.create_lifecycle_publisher(Empty, "b", 1)
            node.create_subscription(Empty, "c", print, 1)
            node.create_client(Trigger, "d")
            node.create_service(Trigger, "e", print)
            node.create_timer(1.0, print).cancel()
            node.create_guard_condition(print)
            ActionClient(node, ParallelGripperCommand, "f")
            ActionServer(node, ParallelGripperCommand, "f", print)
            node.destroy_publisher(node.create_publisher(Empty, "gone", 1))
            node.set_parameters([Parameter("use_sim_time", value=True)])
            if fails:
                raise RuntimeError("boom")
    except RuntimeError:
        assert fails
    clock = [each.topic_name for each in node.subscriptions if each.topic_name == "/clock"]
    assert resources.release_all()
    assert clock == [each.topic_name for each in node.subscriptions if each.topic_name == "/clock"]
    after = entities(node)
    after["subscriptions"] -= len(clock)
    assert after["waitables"] >= before["waitables"]
    assert {**after, "waitables": 0} == {**before, "waitables": 0}
    assert not any(isinstance(each, ActionClient | ActionServer) for each in node.waitables)
    assert len(node._managed_entities) == managed
    node.destroy_node()


def test_a_constructor_that_fails_leaves_no_node(ros_domain):
    class Failing(rclpy.node.Node):
        def __init__(self):
            super().__init__("failing")
            self.released = []
            resources = Resources(self.get_logger())
            with resources.released_if_it_fails(self):
                resources.add("thread", self.released.append)
                self.create_timer(1.0, print)
                failing.append(self)
                raise RuntimeError("boom")

    failing = []
    with pytest.raises(RuntimeError, match="boom"):
        Failing()
    assert failing[0].released == ["thread"] and not list(failing[0].timers)
