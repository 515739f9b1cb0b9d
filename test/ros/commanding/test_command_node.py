# SPDX-License-Identifier: Apache-2.0
"""The node that gives another program's commands to a policy node, against a graph that the test plays."""

from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from ros_testing import spinning
from small_contract import small_contract
from small_robot import JOINTS, SmallRobot
from waiting import wait_for

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.msg import ActionChunk, InferenceRequest, InferenceStatus
from dit_policy_ros.ros.commanding import CommandNode
from dit_policy_ros.ros.common import qos, to_stamp

SILENCE = 0.5  # [s]


class Asking:
    """Asks a command node as a policy node does."""

    def __init__(self, robot: SmallRobot, node: CommandNode) -> None:
        self.node, self.chunks, self.status = node, [], []
        self._robot, self._id = robot, 100
        self._requests = robot.create_publisher(InferenceRequest, "lerobot_inference/request", qos.INFERENCE)
        robot.create_subscription(ActionChunk, "lerobot_inference/chunk", self.chunks.append, qos.INFERENCE)
        robot.create_subscription(
            InferenceStatus, "lerobot_inference/status", self.status.append, qos.SIGNS_OF_LIFE
        )

    def ask(self, **changes: Any) -> int:
        self._id += 1
        now_ns = self._robot.get_clock().now().nanoseconds
        request = {"session": self.node._session, "wanted": True, "stamp": to_stamp(now_ns)} | changes
        self._requests.publish(InferenceRequest(id=self._id, **request))
        return self._id

    def answer(self) -> ActionChunk:
        """The answer to a new request; it is repeated, as a policy node repeats it."""
        number = self.ask()
        wait_for(lambda: any(chunk.request == number for chunk in self.chunks), 20.0, "no answer")
        return next(chunk for chunk in self.chunks if chunk.request == number)


@pytest.fixture
def asking(ros_domain):
    robot = SmallRobot()
    node = CommandNode("lerobot_inference", small_contract(), ("top",), delay=0.2, silence=SILENCE)
    with spinning(robot, node):
        made = Asking(robot, node)
        wait_for(lambda: not node.sensors.observations.stale(node._now_ns()), 20.0, "no streams")
        node.trigger_configure()
        node.trigger_activate()
        wait_for(lambda: made._requests.get_subscription_count() > 0, 20.0, "not discovered")
        wait_for(lambda: bool(made.status), 20.0, "no status")
        yield made


def rows(chunk: ActionChunk) -> np.ndarray:
    """(T, A)."""
    return np.array(chunk.actions).reshape(chunk.rows, len(JOINTS))


def test_until_the_first_command_the_arms_stand(asking):
    chunk = asking.answer()
    assert chunk.problem == "" and list(chunk.joints) == list(JOINTS)
    assert np.ptp(rows(chunk), axis=0).max() == 0.0
    np.testing.assert_allclose(rows(chunk)[0], 0.02)  # where the small robot is


def test_a_chunk_ends_at_the_newest_command(asking):
    asking.node.command(np.array([0.1, 0.01, -0.1, 0.02]))
    np.testing.assert_allclose(rows(asking.answer())[-1], [0.1, 0.01, -0.1, 0.02], atol=1e-6)


def test_after_silence_nothing_is_answered_until_the_next_command(asking):
    asking.node.command(np.full(4, 0.01))
    wait_for(lambda: not asking.node.has_actions(), 20.0, "still commands")
    before = len(asking.chunks)
    number = asking.ask()
    wait_for(lambda: asking.status[-1].request == number, 20.0, "the request does not arrive")
    assert len(asking.chunks) == before
    asking.node.command(np.full(4, 0.03))
    wait_for(lambda: len(asking.chunks) > before, 20.0, "no answer to the command")
    assert asking.chunks[-1].request == number


def test_what_must_not_be_commanded_is_a_problem_of_the_answer(asking):
    asking.node.refuse("a command is not finite")
    assert asking.answer().problem == "a command is not finite"


def test_the_streams_that_observations_come_from_are_in_the_status(asking):
    names = {stream.name for stream in asking.status[-1].streams}
    assert names == {"top", "joint_states"}


def test_a_command_of_the_future_is_of_another_clock(asking):
    """Simulated time that was set back: how old the command is nobody knows."""
    node = asking.node
    node._commands.add(np.full(4, 0.01), node._now_ns() + 60 * 10**9)
    assert not node.has_actions()
    node.command(np.full(4, 0.01))
    assert node.has_actions()


def test_it_does_not_stand_where_the_robot_was_long_ago(asking):
    asking.node.sensors.measured = lambda: None  # stale
    with pytest.raises(StreamError, match="no fresh joint states have come"):
        asking.node.start()


def test_a_new_start_forgets_the_problem_and_the_commands(asking):
    asking.node.command(np.full(4, 0.01))
    asking.node.refuse("a command is not finite")
    asking.node.start()
    assert asking.node.problem() == "" and asking.node.newest_ns is None


@pytest.mark.parametrize("changes", [{"session": 5}, {"earliest": Time(sec=2**31 - 1)}, {"wanted": False}])
def test_only_what_was_asked_for_is_answered(asking, changes):
    """Of another policy node, of a time before the last hold, or not wanted any more."""
    asking.answer()
    before = len(asking.chunks)
    number = asking.ask(**changes)
    wait_for(lambda: asking.status[-1].request == number, 20.0, "the request does not arrive")
    assert len(asking.chunks) == before
