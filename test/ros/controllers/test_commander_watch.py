# SPDX-License-Identifier: Apache-2.0
"""Commanders are told apart by the identifiers of their endpoints, whatever their names are."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.ros.controllers._commander_watch import CommanderWatch

UNKNOWN = ("_NODE_NAMESPACE_UNKNOWN_", "_NODE_NAME_UNKNOWN_")


class Graph:
    """A node /policy, and the publishers of one topic as its ROS graph shows them."""

    def __init__(self):
        self.endpoints = []
        self.destroyed = []
        self.count = 0

    def add(self, namespace="/", name="policy"):
        self.count += 1
        gid = [self.count] * 16
        self.endpoints.append(SimpleNamespace(node_namespace=namespace, node_name=name, endpoint_gid=gid))
        return self.endpoints[-1]

    def resolve_topic_name(self, topic):
        return f"/{topic}"

    def get_fully_qualified_name(self):
        return "/policy"

    def get_publishers_info_by_topic(self, topic):
        return list(self.endpoints)

    def destroy_lifecycle_publisher(self, endpoint):
        self.destroyed.append(endpoint)
        self.endpoints.remove(endpoint)


@pytest.fixture
def graph():
    return Graph()


@pytest.fixture
def watch(graph):
    watch = CommanderWatch(graph)
    watch.create_publisher("left", "left/joint_trajectory", graph.add)
    return watch


def test_our_own_publisher_is_no_other_commander(watch):
    assert watch.look() == []


@pytest.mark.parametrize(
    ("namespace", "name", "shown"),
    [
        ("/operator", "teleop", "/operator/teleop also commands left (/left/joint_trajectory)"),
        ("/", "policy", "another node named /policy (was it started twice?) also commands left"),
    ],
)
def test_another_publisher_is_named_until_it_is_gone(graph, watch, namespace, name, shown):
    other = graph.add(namespace, name)
    assert watch.others() == [], "not before the next look"
    assert watch.look()[0].startswith(shown) and watch.others()[0].startswith(shown)
    graph.endpoints.remove(other)
    assert watch.look() == []


def test_a_publisher_whose_node_is_not_discovered_yet_waits_one_look_for_its_name(graph, watch):
    other = graph.add(*UNKNOWN)
    assert watch.look() == []
    other.node_namespace, other.node_name = "/", "teleop"
    assert watch.look()[0].startswith("/teleop also commands left")


def test_a_publisher_whose_node_stays_unknown_counts_as_well(graph, watch):
    graph.add(*UNKNOWN)
    watch.look()
    assert watch.look()[0].startswith("a node whose name is not known also commands left")


def test_a_twin_that_appears_at_the_same_moment_is_not_taken_for_ours(graph):
    twins = [1]

    def create():
        made = graph.add()
        if twins:
            twins.pop()
            graph.add()  # another node's, of the same name
        return made

    watch = CommanderWatch(graph)
    ours = watch.create_publisher("left", "left/joint_trajectory", create)
    assert len(graph.destroyed) == 1 and ours in graph.endpoints
    assert len(watch.look()) == 1, "the twin"


def test_if_our_own_publisher_cannot_be_told_apart_nothing_starts(graph):
    def create():
        graph.add()
        return graph.add()

    watch = CommanderWatch(graph)
    watch.create_publisher("left", "left/joint_trajectory", create)
    assert watch.look(), "it is safer to refuse"


def test_a_look_that_takes_long_keeps_nobody_waiting(graph, watch, monkeypatch):
    """The motion's lock, and with it the e-stop, waits while others() does."""
    looks, goes_on = threading.Event(), threading.Event()

    def slow(_):
        looks.set()
        assert goes_on.wait(30.0)
        return []

    monkeypatch.setattr(graph, "get_publishers_info_by_topic", slow)
    looking = threading.Thread(target=watch.look, daemon=True)
    looking.start()
    assert looks.wait(10.0)
    asking = threading.Thread(target=watch.others, daemon=True)
    asking.start()
    asking.join(10.0)
    waits = asking.is_alive()
    goes_on.set()
    looking.join(10.0)
    assert not waits
