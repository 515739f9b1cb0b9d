# SPDX-License-Identifier: Apache-2.0
"""A person takes over and hands back over DDS, with the simulator, and a watcher of all commands."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from leader import LeaderArm
from ros_testing import call
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.sim.robot import HOME, JOINTS
from dit_policy_ros.srv import TakeOver

pytestmark = pytest.mark.slow
GRIPPERS = np.array(["gripper" in name for name in JOINTS])
INTERVENTION = PolicyStatus.INTERVENTION


def take_over(world, *controllers):
    request = TakeOver.Request(controllers=list(controllers))
    answers = []

    def taken():
        answers[:] = [call(world.relay, TakeOver, "/policy/take_over", request)]
        return answers[0].success

    wait_for(taken, 20.0, "taken over")  # a busy computer may hold for a moment
    return answers[0]


def hand_back(world):
    return call(world.relay, Trigger, "/policy/hand_back", Trigger.Request())


def leads(world):
    """Takes over; whether the person still drives some plans later."""
    take_over(world)
    relay, plans = world.relay, world.relay.status.plans + 10
    wait_for(lambda: relay.status.plans >= plans or relay.status.state == PolicyStatus.HOLD, 20.0, "plans")
    return relay.status.state == INTERVENTION


@pytest.fixture
def leader(world):
    rng = np.random.default_rng(0)
    size = np.where(GRIPPERS, 0.005, rng.uniform(0.05, 0.15, len(JOINTS)))
    speed = rng.uniform(0.5, 3.0, len(JOINTS))
    with LeaderArm(world.relay, JOINTS) as arm:
        # Within what the policy knows: elsewhere it would refuse to drive again.
        arm.pose = lambda t: np.array(HOME) + size * np.sin(speed * t)
        wait_for(lambda: arm.is_heard, 20.0, "the policy node listens to the leader")
        yield arm


def test_at_thirty_random_moments_of_motion_nothing_steps(world, leader):
    """The world's watcher checks every message; its fixture asserts that it found nothing."""
    rng, relay = np.random.default_rng(1), world.relay

    def is_led():
        return relay.status.state == INTERVENTION

    def noisy(message):  # a real camera has noise; a small image of arms that move slowly may stay the same
        message.data[0] = relay.status.plans % 256
        return message

    relay.image = noisy
    choices = [(), ("left_arm_controller",), ("right_arm_controller", "right_gripper_controller")]
    for attempt in range(30):
        plans = relay.status.plans + int(rng.integers(1, 25))
        wait_for(
            lambda plans=plans: relay.status.plans >= plans or relay.status.state == PolicyStatus.HOLD,
            60.0,
            "a random moment of motion",
        )
        assert len(take_over(world, *choices[attempt % 3]).joints) == (14, 6, 7)[attempt % 3]
        wait_for(lambda: relay.status.state in (INTERVENTION, PolicyStatus.HOLD), 10.0, "the state says so")
        plans = relay.status.plans + int(rng.integers(1, 40))
        wait_for(lambda plans=plans: relay.status.plans >= plans or not is_led(), 30.0, "motion")
        if is_led():  # a busy computer may hold for a late stream
            wait_for(lambda: hand_back(world).success or not is_led(), 20.0, "handed back")
        world.running()


def test_a_leader_that_fails_holds_and_the_person_goes_on_when_it_is_well(world, leader):
    relay = world.relay

    def without(message):
        message.name = [f"other_{name}" for name in message.name]
        return message

    def nan(message):
        message.position[2] = float("nan")
        return message

    def jumped(message):
        message.position[2] += 0.8
        return message

    for harm, reason in (
        (lambda _: None, "the leader is silent"),
        (nan, "not finite"),
        (without, "JointState lacks"),
        (jumped, "the leader jumps: left_joint_3"),
    ):
        take_over(world)
        wait_for(lambda: relay.status.state == INTERVENTION, 10.0, "the state says so")
        leader.harm = harm
        world.held(reason)
        assert not relay.status.hold_recoverable
        leader.harm = lambda message: message
    wait_for(lambda: leads(world), 30.0, "the leader is well again")  # coming back is a jump, too
    assert call(relay, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
    world.held("e-stop")
    refused = call(relay, TakeOver, "/policy/take_over", TakeOver.Request())
    assert not refused.success and "e-stop is latched" in refused.message
    assert call(relay, SetBool, "/policy/e_stop", SetBool.Request(data=False)).success
    world.running()


def test_home_brings_the_arms_to_the_rest_pose_and_resume_lets_the_policy_go_on(world, leader):
    relay = world.relay
    answer = call(relay, Trigger, "/policy/home", Trigger.Request())
    assert answer.success, answer.message
    wait_for(lambda: relay.status.state == PolicyStatus.HOMING, 10.0, "the arms go home")

    def is_there():
        if relay.status.state == PolicyStatus.HOLD:  # a busy computer may hold for a late stream
            call(relay, Trigger, "/policy/home", Trigger.Request())
        return "~/resume" in relay.status.intervention

    wait_for(is_there, 60.0, "they are there", interval=0.1)

    def away():
        measured = dict(zip(relay.states[-1].name, relay.states[-1].position, strict=True))
        return max(abs(measured[name] - at) for name, at in zip(JOINTS, HOME, strict=True))

    wait_for(lambda: away() < 0.1, 10.0, "the arms have followed")
    world.running()
