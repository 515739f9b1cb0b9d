# SPDX-License-Identifier: Apache-2.0
"""A person takes over by services, buttons and real messages; the policy node says who drives."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from leader import LeaderArm
from policy_watch import running
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from ros_testing import call
from sensor_msgs.msg import Joy
from small_robot import JOINTS
from std_srvs.srv import Trigger
from waiting import wait_for

from dit_policy_ros.msg import ControlState, PolicyStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.teleoperation import TakeoverServices
from dit_policy_ros.srv import TakeOver

LEADER = {
    "takeover.source": "leader",
    "takeover.topic": "/leader/joint_states",
    "takeover.timeout": 2.0,
    # A busy computer is no fault here.
    "cameras.top.max_age": 5.0,
    "joint_states.max_age": 5.0,
    "link_timeout": 5.0,
    "rest_pose.left_joint_1": 0.2,
    "rest_pose.left_gripper": 0.01,
    "rest_pose.right_joint_1": -0.2,
    "rest_pose.right_gripper": 0.01,
}


@pytest.fixture
def watch(ros_domain, checkpoint):
    changes = {name.replace(".", "__"): value for name, value in LEADER.items()}
    with running(checkpoint, **changes) as made:
        made.control = []
        made.robot.create_subscription(ControlState, "/policy/control", made.control.append, qos.CONTROL)
        yield made


def trigger(watch, name):
    return call(watch.robot, Trigger, f"/policy/{name}", Trigger.Request())


def take_over(watch, *controllers):
    return call(watch.robot, TakeOver, "/policy/take_over", TakeOver.Request(controllers=list(controllers)))


def drives(watch, controller):
    wait_for(lambda: watch.control and watch.control[-1].controller == controller, 20.0, "who drives")
    return watch.control[-1]


def led(watch, *controllers):
    """Wait until a person drives. A busy computer may hold for a late message; then take over again."""

    def is_led():
        if watch.status.state == PolicyStatus.INTERVENTION:
            return True
        take_over(watch, *controllers)
        return False

    wait_for(is_led, 30.0, "a person drives", interval=0.1)


def test_a_person_takes_over_drives_and_hands_back(watch):
    assert "the leader is silent" in take_over(watch).message
    with LeaderArm(watch.robot, JOINTS) as leader:
        wait_for(lambda: leader.is_heard, 10.0, "the node listens")
        led(watch, "left_arm_controller")
        assert watch.status.human_joints == ["left_joint_1"]
        assert "a person drives left_joint_1" in watch.status.intervention

        def said():
            return next((each for each in watch.control if each.controller == ControlState.HUMAN), None)

        state = wait_for(said, 20.0, "a message says that a person drives")
        assert state.human_joints == ["left_joint_1"]
        assert state.policy == watch.status.policy and len(state.policy) == 32
        sent = len(watch.robot.of("left_arm_controller"))

        def has_driven():
            led(watch, "left_arm_controller")
            return len(watch.robot.of("left_arm_controller")) > sent + 20

        wait_for(has_driven, 60.0, "the arm is led")

        def handed_back():
            led(watch, "left_arm_controller")
            return trigger(watch, "hand_back").success

        wait_for(handed_back, 60.0, "the policy drives again")
        drives(watch, ControlState.POLICY)


class Target:
    """Remembers who drives."""

    led_text = "a person drives"

    def __init__(self):
        self.led_joints, self.refusal = [], ""

    def take_over(self, controllers=()):
        if not self.refusal:
            self.led_joints = ["left_joint_1"]
        return self.refusal

    def hand_back(self):
        if not self.refusal:
            self.led_joints = []
        return self.refusal


@pytest.mark.parametrize(("hand_back", "pressed"), [(-1, (2, 2, 2)), (2, (2, 2, 2)), (3, (2, 3, 2))])
def test_buttons_take_over_and_hand_back(ros_domain, hand_back, pressed):
    node, target = Node("pedal"), Target()
    services = TakeoverServices(node, MutuallyExclusiveCallbackGroup(), lambda: target)
    buttons = services._listen({"joy.topic": "/joy", "joy.take_over": 2, "joy.hand_back": hand_back})
    driven = []
    for number in pressed:
        for down in (False, True, False):
            buttons._on_joy(Joy(buttons=[int(down and n == number) for n in range(4)]), {})
        driven.append(bool(target.led_joints))
    assert driven == [True, False, True]
    target.refusal = "the leader is silent"
    services._on_press("take_over")  # it is logged, and nothing changes
    assert target.led_joints
    node.destroy_node()


@pytest.mark.slow
def test_a_leader_of_other_joints_is_a_hold_that_only_a_person_ends(watch):
    with LeaderArm(watch.robot, JOINTS) as leader:
        led(watch)

        def renamed(message):
            message.name = [f"other_{name}" for name in JOINTS]
            return message

        leader.harm = renamed
        drives(watch, ControlState.HOLD)
        wait_for(lambda: watch.status.state == PolicyStatus.HOLD, 10.0, "the status says so")
        assert "the leader's message cannot be used: JointState lacks" in watch.status.hold_reason
        assert not watch.status.hold_recoverable
        leader.harm = lambda message: message
        wait_for(lambda: trigger(watch, "resume").success, 20.0, "resumed")
        drives(watch, ControlState.POLICY)


def test_home_goes_to_the_rest_pose_of_the_contract(watch):
    answer = trigger(watch, "home")
    assert answer.success and "to the rest pose" in answer.message

    def is_there():
        if watch.status.state == PolicyStatus.HOLD:  # of a busy computer
            trigger(watch, "home")
        return "~/resume" in watch.status.intervention

    wait_for(is_there, 60.0, "the arms are there", interval=0.1)
    assert watch.status.state == PolicyStatus.HOMING
    last = [watch.robot.of(name)[-1].points[-1].positions[0] for name in (
        "left_arm_controller", "right_arm_controller")]  # fmt: skip
    assert np.allclose(last, [0.2, -0.2], atol=1e-3)
    wait_for(lambda: trigger(watch, "resume").success, 20.0, "the policy goes on")
    drives(watch, ControlState.POLICY)
