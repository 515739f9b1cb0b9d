# SPDX-License-Identifier: Apache-2.0
"""A simulated robot does not start, and does not go on, where another robot is."""

from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from ros_testing import spinning  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from dit_policy_ros.core.errors import SimulationError  # noqa: E402
from dit_policy_ros.ros.sim._other_robot import OtherRobotWatch  # noqa: E402

START = 60.0  # [s] a process may take to start on a busy machine
SMALL = ("-p", "cameras:=[top]", "-p", "image_width:=32", "-p", "image_height:=24")


@pytest.fixture
def start_sim(start_process):
    def start(*arguments):
        return start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *SMALL, *arguments)

    return start


def publish_joint_states(name: str = "real_robot", namespace: str = "/"):
    node = rclpy.create_node(name, namespace=namespace)
    publisher = node.create_publisher(JointState, "joint_states", 10)
    node.create_timer(0.02, lambda: publisher.publish(JointState(name=["joint"], position=[0.0])))
    return node


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (publish_joint_states, "/real_robot publishes /joint_states"),
        pytest.param(  # the same launch, twice
            lambda: publish_joint_states("sim"), "/sim publishes /joint_states", marks=pytest.mark.slow
        ),
        (lambda: rclpy.create_node("left_arm_controller"), "the controller /left_arm_controller runs"),
    ],
    ids=["joint states", "another simulator", "controller"],
)
def test_it_does_not_start_beside_another_robot(ros_domain, start_sim, wait_for, other, words):
    observer = rclpy.create_node("observer")
    heard: list[JointState] = []
    observer.create_subscription(
        JointState, "/joint_states", lambda m: len(m.name) > 1 and heard.append(m), 10
    )
    with spinning(other()), spinning(observer):
        sim = start_sim()
        wait_for(lambda: not sim.alive, START, "it ends")
    assert sim.process.returncode == 1
    assert words in sim.output() and "allow_other_robot" in sim.output()
    assert "Traceback" not in sim.output()
    assert heard == [], "it has published nothing"


@pytest.mark.slow
def test_it_ends_when_another_robot_appears(ros_domain, start_sim, wait_for):
    sim = start_sim("-p", "discovery_time:=0.0")
    wait_for(lambda: "the robot is up" in sim.output(), START, "it runs")
    with spinning(publish_joint_states()):
        wait_for(lambda: not sim.alive, START, "it ends")
    assert sim.process.returncode == 1
    assert "/real_robot publishes /joint_states" in sim.output()
    assert "Traceback" not in sim.output()


@pytest.mark.parametrize(
    ("other", "arguments"),
    [
        (publish_joint_states, ("-p", "allow_other_robot:=true")),
        pytest.param(publish_joint_states, ("-r", "__ns:=/left_cell"), marks=pytest.mark.slow),
        pytest.param(lambda: publish_joint_states(namespace="/right_cell"), (), marks=pytest.mark.slow),
        pytest.param(publish_joint_states, ("-r", "joint_states:=sim/joint_states"), marks=pytest.mark.slow),
    ],
    ids=["told to", "own namespace", "other's namespace", "own topic"],
)
def test_it_runs_where_the_other_robot_is_apart_or_expected(
    ros_domain, start_sim, wait_for, other, arguments
):
    with spinning(other()):
        sim = start_sim("-p", "discovery_time:=1.0", *arguments)
        wait_for(lambda: "the robot is up" in sim.output(), START, "it runs")
        seen: list[JointState] = []
        listener = rclpy.create_node("listener")
        topics = ("/joint_states", "/left_cell/joint_states", "/sim/joint_states")
        for topic in topics:
            listener.create_subscription(JointState, topic, lambda m: len(m.name) > 1 and seen.append(m), 10)
        with spinning(listener):
            wait_for(lambda: len(seen) > 125, START, "a second of its joint states")
        assert sim.alive


class LateNames:
    """Stands in for a node that finds an endpoint some looks before the name of its node."""

    def __init__(self, looks: float) -> None:
        self.looks = looks

    def resolve_topic_name(self, topic):
        return f"/{topic}"

    def get_namespace(self):
        return "/"

    def get_node_names_and_namespaces(self):
        return []

    def get_publishers_info_by_topic(self, topic):
        self.looks -= 1
        name = "real_robot" if self.looks < 0 else "_NODE_NAME_UNKNOWN_"
        return [SimpleNamespace(endpoint_gid=b"1", node_namespace="/", node_name=name)]


@pytest.mark.parametrize(
    ("looks", "words"),
    [(3, "/real_robot publishes /joint_states"), (float("inf"), "a node whose name is not known publishes")],
)
def test_a_robot_that_was_just_found_gets_its_name_or_is_refused_without(looks, words):
    with pytest.raises(SimulationError, match=words):
        OtherRobotWatch(LateNames(looks), ["joint_states"], ()).check()


class Graph(LateNames):
    """Stands in for a node /sim; each publisher of joint states is a GID."""

    def __init__(self) -> None:
        super().__init__(0)
        self.gids: list[bytes] = []

    def add(self) -> bytes:
        self.gids.append(bytes([len(self.gids)]) * 16)
        return self.gids[-1]

    def destroy_publisher(self, gid: bytes) -> None:
        self.gids.remove(gid)

    def get_publishers_info_by_topic(self, topic):
        return [SimpleNamespace(endpoint_gid=gid, node_namespace="/", node_name="sim") for gid in self.gids]


def test_a_simulator_of_the_same_name_that_starts_at_the_same_moment_is_another_robot():
    graph, twins = Graph(), [1]
    watch = OtherRobotWatch(graph, ["joint_states"], ())

    def create() -> bytes:
        if twins:
            twins.pop()
            graph.add()
        return graph.add()

    watch.create_publisher(create)
    with pytest.raises(SimulationError, match="/sim publishes /joint_states"):
        watch.check()
    del graph.gids[0]
    watch.check()
