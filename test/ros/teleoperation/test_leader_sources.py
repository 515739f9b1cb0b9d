# SPDX-License-Identifier: Apache-2.0
"""Where a leader may publish: arms on topics of their own, command topics, and trajectories."""

import numpy as np
import pytest
from contracts import SMALL_CONTRACT

pytest.importorskip("rclpy", reason="rclpy is not installed")
from leader import LeaderArm
from rclpy.node import Node
from ros_testing import spinning
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from waiting import wait_for

from dit_policy_ros.core.contract import parse_mapping
from dit_policy_ros.core.errors import ParameterError, StreamError
from dit_policy_ros.core.sensing import JointBuffer, StreamSettings
from dit_policy_ros.core.takeover import LeaderTrack
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.teleoperation import TAKEOVER_PARAMETERS, Leader
from dit_policy_ros.ros.teleoperation._trajectory_leader import TrajectoryLeader

MS = 1_000_000
T0 = 1_790_000_000_000 * MS
JOINTS = SMALL_CONTRACT.joints
TIMEOUT = 5.0  # [s] longer than a busy computer pauses


def settings(**changes):
    values = {parameter.name: parameter.default for parameter in TAKEOVER_PARAMETERS}
    given = {f"takeover.{name}": value for name, value in changes.items()}
    assert given.keys() <= values.keys()
    return values | {"takeover.source": "leader", "takeover.timeout": TIMEOUT} | given


@pytest.fixture
def node(ros_domain):
    made = Node("follower")
    with spinning(made):
        yield made


def listening(node, **changes):
    return Leader(node, SMALL_CONTRACT, settings(**changes))


def now_ns(node):
    return node.get_clock().now().nanoseconds


def follows(node, leader, pose):
    def there():
        newest = leader.track.newest()
        is_there = newest is not None and np.allclose(newest, pose, atol=1e-6)
        return is_there and not leader.track.fault(now_ns(node), now_ns(node))

    wait_for(there, 20.0, f"the leader is at {pose} and can be followed")


def trajectory(joints, positions, seconds):
    """positions (K, M) at times [s] after the message (K,)."""
    message = JointTrajectory(joint_names=list(joints))
    for row, at in zip(positions, seconds, strict=True):
        point = JointTrajectoryPoint(positions=[float(value) for value in row])
        point.time_from_start.sec, point.time_from_start.nanosec = int(at), round(at % 1 * 1e9)
        message.points.append(point)
    return message


class Repeating:
    """Publishes a message again and again from a timer of the node."""

    def __init__(self, node, topic, message):
        publisher = node.create_publisher(type(message), topic, qos.JOINT_STATES)
        self._node, self._timer = node, node.create_timer(0.02, lambda: publisher.publish(message))

    def end(self):
        self._timer.cancel()


def test_two_arms_with_equal_joint_names_publish_on_topics_of_their_own(node):
    leader = listening(
        node,
        topics=("/left/leader", "/right/leader"),
        prefixes=("left_", "right_"),
        timeout=1.0,
        mapping=tuple(f"{name} = {side}_{name}" for side, name in zip(
            ("left", "left", "right"), JOINTS, strict=True)),
    )  # fmt: skip
    with LeaderArm(node, JOINTS[:2], "/left/leader") as left:
        left.pose = lambda _: np.array([0.1, 0.02])
        wait_for(lambda: left.is_heard, 20.0, "the follower listens")
        wait_for(
            lambda: f"nothing received of {JOINTS[2]}" in leader.track.fault(now_ns(node), now_ns(node)),
            20.0,
            "one arm alone is no leader",
        )
        with LeaderArm(node, JOINTS[2:], "/right/leader") as right:
            right.pose = lambda _: np.array([-0.3])
            follows(node, leader, [0.1, 0.02, -0.3])
        fault = wait_for(
            lambda: leader.track.fault(now_ns(node), now_ns(node)), 20.0, "the right arm has gone silent"
        )
        assert fault.startswith("the leader is silent") and f"{JOINTS[2]}: newest sample" in fault
        assert "takeover.timeout" in fault
    leader.close()


def test_a_joint_on_two_topics_is_refused(node):
    leader = listening(node, topics=("/one", "/two"))
    with LeaderArm(node, JOINTS, "/one"), LeaderArm(node, JOINTS, "/two"):
        fault = wait_for(lambda: leader.track.fault(now_ns(node), 0), 20.0, "the two differ")
        wait_for(lambda: "takeover.topics" in leader.track.fault(now_ns(node), 0), 20.0, f"not {fault!r}")
    leader.close()


def test_trajectories_of_two_controllers_lead_until_they_stop(node):
    leader = listening(node, source="trajectory", topics=("/teleop/arm", "/teleop/other"), timeout=1.0)
    arm = Repeating(node, "/teleop/arm", trajectory(JOINTS[:2], [(0.3, 0.02)], [0.05]))
    other = Repeating(node, "/teleop/other", trajectory(JOINTS[2:], [(0.1,), (-0.2,)], [0.05, 0.1]))
    wait_for(lambda: leader.track.newest() is not None, 20.0, "both are heard")
    newest = leader.track.newest()
    assert np.allclose(newest[:2], [0.3, 0.02]) and 0.0 <= newest[2] <= 0.1
    other.end()
    wait_for(lambda: np.allclose(leader.track.newest()[2], -0.2), 20.0, "the last one is followed to its end")
    wait_for(
        lambda: leader.track.fault(now_ns(node), now_ns(node)).startswith("the leader is silent"),
        20.0,
        "a controller that nobody commands any more is noticed",
    )
    assert f"{JOINTS[2]}: newest" in leader.track.fault(now_ns(node), now_ns(node))
    arm.end()
    leader.close()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("joint_state", JointState(name=list(JOINTS), position=[0.2, 0.01, -0.1])),
        ("array", Float64MultiArray(data=[0.2, 0.01, -0.1])),
        ("trajectory", trajectory(JOINTS, [(0.2, 0.01, -0.1)], [0.0])),
    ],
)
def test_commands_of_every_kind_that_the_recorder_knows_lead(node, source, message):
    leader = listening(node, source=source, topic="/teleop/command")
    repeating = Repeating(node, "/teleop/command", message)
    follows(node, leader, [0.2, 0.01, -0.1])
    repeating.end()
    leader.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"topics": ("/a", "/a")}, "expected different topics"),
        ({"topics": ("/a", "/b"), "prefixes": ("l_",)}, "expected one for each of /a, /b, got 1"),
        ({"prefixes": ("l_",)}, "expected none without takeover.topics"),
        ({"source": "array", "topics": ("/a", "/b")}, "Only leader and trajectory may have several"),
        (
            {"source": "trajectory", "topic": f"/{SMALL_CONTRACT.controllers[0].topic}"},
            "nothing may publish there but the policy node",
        ),
    ],
)
def test_topics_that_cannot_be_a_leaders_are_refused(node, changes, said):
    with pytest.raises(ParameterError, match=said):
        listening(node, **changes)


# --- trajectories, by the millisecond ---


def follower():
    stream = JointBuffer(
        StreamSettings("leader", 0.2, 1000, 2.0, "t", "takeover.timeout"), JOINTS, configured_in="takeover"
    )
    track = LeaderTrack(JOINTS, stream, SMALL_CONTRACT.limits, SMALL_CONTRACT.gripper_mask)
    return track, TrajectoryLeader(track, parse_mapping((), JOINTS, "takeover.mapping"))


def test_a_trajectory_leads_from_where_the_former_one_was():
    track, leader = follower()
    leader.add("t", "", trajectory(JOINTS, [(0.0, 0.0, 0.0), (0.4, 0.0, 0.0)], [0.0, 0.4]), T0)
    for k in range(10, 200, 10):
        leader.sample(T0 + k * MS)
    assert np.allclose(track.newest(), [0.19, 0.0, 0.0])
    leader.add("t", "", trajectory(JOINTS, [(0.0, 0.0, 0.0)], [0.1]), T0 + 200 * MS)
    assert np.allclose(track.newest(), [0.19, 0.0, 0.0])  # not at the new point yet
    leader.sample(T0 + 250 * MS)
    assert np.allclose(track.newest(), [0.095, 0.0, 0.0])


def test_a_trajectory_speaks_until_its_last_point_and_no_longer():
    track, leader = follower()
    leader.add("t", "", trajectory(JOINTS, [(0.0,) * 3, (0.1, 0.0, 0.0)], [0.0, 1.0]), T0)
    silent = [
        k for k in range(10, 1500, 10)
        if (leader.sample(T0 + k * MS), track.fault(T0 + k * MS, T0 + k * MS))[1]
    ]  # fmt: skip
    assert silent[0] == 1210 and silent[-1] == 1490  # its end, and the timeout
    assert np.allclose(track.newest(), [0.1, 0.0, 0.0])


def test_after_a_pause_a_trajectory_does_not_begin_where_the_old_one_ended():
    track, leader = follower()
    leader.add("t", "", trajectory(JOINTS, [(0.1, 0.0, 0.0)], [0.0]), T0)
    later = T0 + 60_000 * MS
    leader.add("t", "", trajectory(JOINTS, [(0.9, 0.0, 0.0)], [0.1]), later)
    assert np.allclose(track.newest(), [0.9, 0.0, 0.0]) and track.fault(later, later) == ""


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (trajectory(["elbo"], [(0.1,)], [0.1]), "Did you mean"),
        (trajectory(JOINTS, [(0.1, 0.0, 0.0)], [11.0]), "10 s at most"),
        (trajectory(JOINTS, [(0.1, float("nan"), 0.0)], [0.1]), "not finite"),
        (trajectory(JOINTS, [(0.1, 0.0)], [0.1]), "positions per point"),
        (trajectory([JOINTS[0], JOINTS[0]], [(0.1, 0.1)], [0.1]), "trajectory is for joints"),
        (trajectory(JOINTS, [], []), "no points"),
        (trajectory([], [], []), "no points"),
    ],
)
def test_a_trajectory_that_cannot_be_followed_is_refused(message, said):
    _, leader = follower()
    with pytest.raises(StreamError, match=said):
        leader.add("t", "", message, T0)
