# SPDX-License-Identifier: Apache-2.0
"""Leader arms, arrays and joysticks as commands of the robot's joints."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ros_testing import spinning
from sensor_msgs.msg import JointState, Joy
from small_contract import small_contract
from small_robot import JOINTS, SmallRobot
from std_msgs.msg import Float64MultiArray
from waiting import wait_for

from dit_policy_ros.core.errors import ParameterError, StreamError
from dit_policy_ros.ros.commanding import CommandReader, ReaderSettings


@pytest.fixture
def listen(ros_domain):
    """`listen(message, **settings)`: a reader of a topic on which that message comes again and again."""
    robot, readers = SmallRobot(), []

    def begin(message: Any, contract: dict[str, Any] | None = None, **settings: Any) -> CommandReader:
        publisher = robot.create_publisher(type(message), "leader", 10)
        robot.create_timer(0.02, lambda: publisher.publish(message))
        made = small_contract(**(contract or {}))
        reader = CommandReader(made, ReaderSettings("leader", wait=20.0, **settings))
        readers.append(reader)
        reader.connect()
        return reader

    with spinning(robot):
        yield begin
        for reader in readers:
            reader.close()


def test_a_leader_arm_with_other_names_and_units(listen):
    names = ["grip_l", "left_joint_1", "right_joint_1", "right_gripper"]
    message = JointState(name=names, position=[0.5, 0.2, -0.3, 0.01])
    reader = listen(message, mapping=("left_gripper = grip_l * 0.04",))
    np.testing.assert_allclose(reader.newest(), [0.2, 0.02, -0.3, 0.01])


def test_an_array(listen):
    message = Float64MultiArray(data=[0.1, 0.01, 0.2, 0.02, 1.0])
    reader = listen(message, kind="array", mapping=("right_gripper = 4 * 0.04",))
    np.testing.assert_allclose(reader.newest(), [0.1, 0.01, 0.2, 0.04])


def test_axes_of_a_joystick_are_velocities(listen):
    message = Joy(axes=[0.0, 1.0])
    mapping = ("left_joint_1 = 1 * 4.0", "right_joint_1 = 0 * 4.0")
    reader = listen(message, kind="joy", mapping=mapping)

    def arrived() -> bool:
        pose = reader.newest()
        np.testing.assert_allclose(pose[1:], 0.02)  # no axis, or one at rest
        return pose[0] == pytest.approx(0.02 + 1.0)  # half a second of the fastest motion: it never moves

    wait_for(arrived, 60.0, "the joystick does not move the joint", interval=0.05)


def test_an_operator_who_is_silent_or_not_understood_is_an_error_that_says_so(listen):
    reader = listen(JointState(name=["other"], position=[0.0]))
    reader._settings = ReaderSettings("leader", wait=1.0)
    wait_for(lambda: reader._stream.refusal, 20.0, "no message is refused")
    with pytest.raises(
        StreamError, match=r"no command of the operator for 1 s on /leader.*lacks left_joint_1"
    ):
        reader.newest()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_age": 0.0}, r"max_age: expected a time above 0"),
        ({"wait": float("nan")}, r"wait: expected a time above 0"),
        ({"kind": "joy"}, r"expected an axis for at least one joint"),
        ({"kind": "joy", "mapping": (f"{JOINTS[0]} = 1 * 0.5 + 0.1",)}, r"expected no offset.*left_joint_1"),
        ({"kind": "array", "mapping": (f"{JOINTS[0]} = {JOINTS[1]}",)}, r"indices of array's values"),
        ({"kind": "pedals"}, r"expected one of joint_state, array, joy, got 'pedals'"),
        ({"kind": "joy", "mapping": (f"{JOINTS[0]} = x",)}, r"indices of joy's values, got x"),
    ],
)
def test_wrong_settings_are_refused(settings, expected):
    with pytest.raises(ParameterError, match=expected):
        CommandReader(small_contract(), ReaderSettings("leader", **settings))


def test_a_robot_does_not_lead_itself():
    """It would be sent where it is measured, and sink under its weight."""
    with pytest.raises(ParameterError, match=r"on which left_joint_1, .* of the robot itself come"):
        CommandReader(small_contract(), ReaderSettings("/joint_states"))
    leader = tuple(f"{joint} = leader_{joint}" for joint in JOINTS)
    CommandReader(small_contract(), ReaderSettings("joint_states", mapping=leader))  # one topic for both
    arms = {
        "joint_states__topic": None,
        "joint_states__topics": ["left/joint_states", "right/joint_states"],
        "joint_states__prefixes": ["left_", "right_"],
    }
    mixed = (*leader[1:], f"{JOINTS[0]} = joint_1")
    with pytest.raises(ParameterError, match="on which joint_1 of the robot itself"):
        CommandReader(small_contract(**arms), ReaderSettings("left/joint_states", mapping=mixed))


class Stick:
    """A joystick whose axis 1 moves the first joint at 1 rad/s, without a graph: test and clock move it."""

    def __init__(self, **changes: Any) -> None:
        self.reader: Any = CommandReader(
            small_contract(**changes),
            ReaderSettings("leader", kind="joy", mapping=(f"{JOINTS[0]} = 1",), wait=0.05),
        )
        self.now_ns, self.measured = 10**12, np.zeros(4)
        clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now_ns))
        self.reader._node = SimpleNamespace(
            get_clock=lambda: clock,
            resolve_topic_name=str,
            get_logger=lambda: SimpleNamespace(error=lambda *_, **__: None),
        )
        self.reader._sensors = SimpleNamespace(measured=lambda: self.measured)

    def push(self, *axes: float) -> None:
        stream, convert = self.reader._stream, self.reader._of_joy
        self.reader._receive(self.reader._node, stream, convert, Joy(axes=list(axes)))

    def pose(self, seconds: float, axis: float = 1.0) -> float:
        """Where the first joint is led to after so long, asked every 0.05 s."""
        for _ in range(round(seconds / 0.05)):
            self.now_ns += 50_000_000
            self.push(0.0, axis)
            pose = self.reader.newest()
        return float(pose[0])


def test_a_joystick_does_not_lead_arms_far_away_that_hold():
    """They would go there when they are let go again."""
    stick = Stick()
    assert stick.pose(0.5) == pytest.approx(0.5, abs=0.06)
    assert stick.pose(10.0) <= 1.05, "half a second of the fastest motion, 2 rad/s"
    assert stick.pose(0.5, -1.0) < 0.6, "and it comes back at once"


def test_a_joystick_leads_a_joint_to_its_limit_and_no_farther():
    stick = Stick()
    stick.measured = np.array([1.2, 0.0, 0.0, 0.0])
    assert stick.pose(1.0) == 1.5


def test_after_a_pause_a_joystick_begins_where_the_arms_are():
    stick = Stick()
    stick.pose(0.5)
    stick.measured, stick.now_ns = np.array([-0.7, 0.0, 0.0, 0.0]), stick.now_ns + 2 * 10**9
    assert stick.pose(0.05, 0.0) == pytest.approx(-0.7)


def test_a_slow_loop_does_not_make_a_joystick_leap():
    stick = Stick()
    before = stick.pose(0.2)
    stick.now_ns += 400_000_000
    stick.push(0.0, 1.0)
    assert stick.reader.newest()[0] - before == pytest.approx(0.1), "at most a tenth of a second"


def test_what_a_program_does_with_a_command_does_not_move_the_next_one():
    stick = Stick()
    before = stick.pose(0.2)
    stick.reader.newest()[:] = 9.0
    assert stick.pose(0.05) == pytest.approx(before + 0.05)


def test_a_joystick_that_is_connected_again_begins_where_the_arms_are():
    stick = Stick()
    stick.pose(0.4)
    node, sensors = stick.reader._node, stick.reader._sensors
    stick.reader.close()
    stick.reader._node, stick.reader._sensors = node, sensors
    assert stick.pose(0.05, 0.0) == 0.0


def test_a_joystick_of_a_continuous_joint_turns_on_where_its_angle_jumps():
    limits = {f"limits__{JOINTS[0]}__{name}": None for name in ("position_min", "position_max")}
    stick = Stick(**{f"limits__{JOINTS[0]}__continuous": True}, **limits)
    stick.measured = np.array([3.1, 0.0, 0.0, 0.0])
    assert stick.pose(0.1) > 3.1
    stick.measured = np.array([-3.1, 0.0, 0.0, 0.0])  # 0.08 rad farther
    assert stick.pose(0.1) == pytest.approx(3.3, abs=0.06)


def test_stale_joint_states_and_broken_axes_move_nothing():
    stick = Stick()
    stick.pose(0.2)
    stick.push(0.0, float("nan"))
    assert "not finite" in stick.reader._stream.refusal
    assert np.isfinite(stick.pose(0.1))
    stick.measured = None
    with pytest.raises(StreamError, match="no fresh joint states on joint_states"):
        stick.pose(0.05)


def test_a_message_of_the_future_is_no_command():
    """Simulated time was set back: the message is of before."""
    stick = Stick()
    stick.push(0.0, 1.0)
    stick.now_ns -= 60 * 10**9
    with pytest.raises(StreamError, match="no command of the operator"):
        stick.reader.newest()


def test_a_joystick_reads_joint_states_as_the_robot_has_them(listen):
    """On several topics, in other units."""
    robot = {
        "joint_states__topic": None,
        "joint_states__topics": ["joint_states", "other/joint_states"],
        "robot_names": ["left_gripper = left_gripper * 0.5"],
    }
    reader = listen(Joy(axes=[1.0]), contract=robot, kind="joy", mapping=(f"{JOINTS[0]} = 0",))
    assert reader.newest()[1:] == pytest.approx([0.01, 0.02, 0.02])
