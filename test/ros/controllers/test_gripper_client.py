# SPDX-License-Identifier: Apache-2.0
"""Every wait for a gripper's answer ends, and goals are never faster than the joint."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("control_msgs.action", reason="control_msgs is not installed")
from action_msgs.msg import GoalInfo, GoalStatus, GoalStatusArray
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future
from unique_identifier_msgs.msg import UUID
from waiting import wait_for

from dit_policy_ros.core.contract import Controller, ControllerType
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.controllers import _gripper_client
from dit_policy_ros.ros.controllers._commander_watch import CommanderWatch
from dit_policy_ros.ros.controllers._gripper_client import GripperClient, GripperLimits

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
CONTROLLER = Controller("gripper", ControllerType.PARALLEL_GRIPPER, ("finger",), gripper=True)


class FakeActionClient:
    """Answers when the test says so."""

    def __init__(self):
        self.ready = True
        self.goals, self.futures = [], []

    def server_is_ready(self):
        return self.ready

    def send_goal_async(self, goal, goal_uuid):
        self.goals.append(goal.command.position[0])
        self.futures.append(Future())
        return self.futures[-1]

    def answer(self, accepted=True, index=-1):
        self.futures[index].set_result(SimpleNamespace(accepted=accepted))

    def destroy(self):
        pass


@pytest.fixture
def gripper(ros_domain):
    """A client at the goal 0.02, with a fake connection."""
    node, rejected = LifecycleNode("test"), []
    limits = GripperLimits(stroke=0.04, velocity=0.1)
    client = GripperClient(node, CONTROLLER, limits, rejected.append, CommanderWatch(node))
    client._client.destroy()
    client._client = FakeActionClient()
    client.rejected = rejected
    assert client.fault(START_NS) == ""
    client.start(0.02)
    yield client
    client.close()
    node.destroy_node()


def test_a_goal_without_an_answer_is_a_fault_and_is_sent_again_until_there_is_one(gripper):
    fake = gripper._client
    gripper.command(0.03, START_NS)
    assert gripper.fault(START_NS + 1000 * MS) == ""
    for second in range(1, 5):
        assert "gripper has not answered a goal" in gripper.fault(START_NS + second * 1001 * MS)
        assert fake.goals == [0.03] * (second + 1)
    fake.answer()
    assert gripper.fault(START_NS + 6000 * MS) == ""
    gripper.command(0.035, START_NS + 6000 * MS)
    assert fake.goals[-1] == 0.035 and len(fake.goals) == 6


def test_a_late_answer_to_the_first_request_counts(gripper):
    gripper.command(0.03, START_NS)
    assert gripper.fault(START_NS + 1001 * MS)
    gripper._client.answer(index=0)
    assert gripper.fault(START_NS + 1500 * MS) == ""
    assert gripper._client.futures[1].cancelled(), "nobody waits for the second"


@pytest.mark.parametrize(
    "answer",
    [lambda f: f.set_result(None), lambda f: f.set_exception(RuntimeError("no server")), Future.cancel],
)
def test_an_answer_without_content_is_none(gripper, answer):
    gripper.command(0.03, START_NS)
    answer(gripper._client.futures[0])
    assert gripper.fault(START_NS + 1001 * MS) and gripper._client.goals == [0.03, 0.03]
    gripper._client.answer()
    assert gripper.fault(START_NS + 1002 * MS) == "" and not gripper.rejected


def test_when_the_controller_dies_with_a_goal_in_flight_its_successor_gets_a_new_one(gripper):
    fake = gripper._client
    gripper.command(0.03, START_NS)
    fake.ready = False
    assert gripper.fault(START_NS + 100 * MS) == ""  # ControllerInterface reports that it is gone
    fake.ready = True
    assert gripper.fault(START_NS + 60_000 * MS) == "", "nobody waits for the dead controller's answer"
    gripper.command(0.0302, START_NS + 60_000 * MS)
    assert fake.goals == [0.03, 0.0302], "although it has hardly changed: the new controller knows no goal"


def test_a_controller_that_comes_back_gets_the_goal_that_it_had_reached_before(gripper):
    fake = gripper._client
    gripper.command(0.03, START_NS)
    fake.answer()
    fake.ready = False
    gripper.fault(START_NS + 100 * MS)
    fake.ready = True
    gripper.fault(START_NS + 200 * MS)
    gripper.command(0.03, START_NS + 200 * MS)
    assert fake.goals == [0.03, 0.03]


def test_a_rejected_goal_is_reported_and_the_next_one_is_sent(gripper):
    fake = gripper._client
    gripper.command(0.03, START_NS)
    fake.answer(accepted=False)
    assert gripper.rejected == ["gripper rejected the goal 0.03: its log says why"]
    assert gripper.fault(START_NS + 2000 * MS) == ""
    gripper.command(0.03, START_NS + 2000 * MS)
    assert fake.goals == [0.03, 0.03]


def test_goals_are_no_faster_than_the_joint(gripper):
    fake, now_ns = gripper._client, START_NS
    gripper.command(0.03, now_ns)
    fake.answer()
    for _ in range(10):  # the plan has gone on while an answer was awaited
        before, now_ns = fake.goals[-1], now_ns + 20 * MS
        gripper.command(0.0, now_ns)
        fake.answer()
        assert before - fake.goals[-1] == pytest.approx(0.1 * 0.02)
    while fake.goals[-1] > 0.0:
        now_ns += 20 * MS
        gripper.command(0.0, now_ns)
        fake.answer()
    assert len(fake.goals) <= 17


def test_a_small_change_is_sent_later(gripper):
    fake = gripper._client
    gripper.command(0.03, START_NS)
    fake.answer()
    gripper.command(0.0301, START_NS + 100 * MS)
    assert fake.goals == [0.03]
    gripper.command(0.0301, START_NS + 200 * MS)
    assert fake.goals == [0.03, 0.0301]


def test_a_clock_that_is_set_back_does_not_make_the_wait_longer(gripper):
    fake = gripper._client
    gripper.command(0.03, START_NS)
    back_ns = START_NS - 3_600_000 * MS
    assert gripper.fault(back_ns) == ""
    assert "has not answered a goal" in gripper.fault(back_ns + 1001 * MS)
    assert fake.goals == [0.03, 0.03]
    fake.answer()
    gripper.command(0.0301, back_ns + 1500 * MS)
    assert fake.goals[-1] == 0.0301, "a small change is sent a moment after the last goal"


def test_another_nodes_goal_counts_although_it_ended_before_its_first_status_came(gripper, monkeypatch):
    now = [100.0]  # [s]
    monkeypatch.setattr(_gripper_client.time, "monotonic", lambda: now[0])
    publisher = gripper._node.create_publisher(
        GoalStatusArray, f"{CONTROLLER.action}/_action/status", qos.ACTION_STATUS
    )
    listed = []

    def list_goal(number, status):
        info = GoalInfo(goal_id=UUID(uuid=[number] * 16))
        listed.append(GoalStatus(goal_info=info, status=status))
        publisher.publish(GoalStatusArray(status_list=listed))
        goal = bytes([number] * 16)
        wait_for(lambda: gripper.foreign_goal() or goal in (gripper._listed_goals or ()), 10.0, "it is heard")
        return gripper.foreign_goal()

    assert not list_goal(1, GoalStatus.STATUS_SUCCEEDED), "it ended before we listened"
    gripper.command(0.03, START_NS)
    own = list(gripper._own_goals[-1])
    listed.append(GoalStatus(goal_info=GoalInfo(goal_id=UUID(uuid=own)), status=GoalStatus.STATUS_SUCCEEDED))
    assert "a goal of another node" in list_goal(2, GoalStatus.STATUS_SUCCEEDED)
    now[0] += _gripper_client.COUNTS_FOR
    assert not gripper.foreign_goal()
    listed.clear()
    assert not list_goal(2, GoalStatus.STATUS_SUCCEEDED), "goals that are forgotten are no news"
