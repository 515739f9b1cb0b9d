# SPDX-License-Identifier: Apache-2.0
"""A person takes over from the policy and hands back, in lock-step on a simulated clock."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from control_loop import RECOVERY, START_NS
from taking_over import CONTRACT, Person

from dit_policy_ros.core.motion import MotionState, Pacing
from dit_policy_ros.core.takeover import TakeoverMode

RUNNING, HOLD, INTERVENTION = MotionState.RUNNING, MotionState.HOLD, MotionState.INTERVENTION
SHOULDER, FINGER, ELBOW = range(3)


def seconds(loop):
    return (loop.now_ns - START_NS) * 1e-9


def random_hand(rng):
    """A hand that moves a leader at random, and stops now and then: [s] -> (3,)."""
    size, speed, phase = (
        rng.uniform(0.0, [1.5, 0.03, 1.5]),
        rng.uniform(0.5, 4.0, 3),
        rng.uniform(0.0, 6.0, 3),
    )
    centre, pause = rng.uniform([-1.0, 0.0, -1.0], [1.0, 0.03, 1.0]), rng.uniform(0.3, 2.0)

    def at(t):
        moving = t - 0.5 * max(0.0, np.sin(t / pause))  # slows down, never jumps
        return centre + size * np.sin(speed * moving + phase)

    return at


MODES = [(mode, controllers) for mode in TakeoverMode for controllers in ((), ("arm",), ("hand",))]


def take_over_at_random(mode, controllers, seed, times):
    """`Person.check` watches every plan."""
    rng = np.random.default_rng(seed)
    person = Person(mode)
    person.chunk_scale = rng.uniform(0.3, 2.0)
    hand, home = random_hand(rng), seconds(person)
    # To match the arms, the hand goes to where they are.
    person.move = (lambda t: hand(t) - hand(home)) if mode is TakeoverMode.MATCH else hand
    person.run(rng.uniform(0.1, 1.0))
    for _ in range(times):
        assert person.motion.take_over(controllers) == ""
        person.run(rng.uniform(0.05, 1.0))
        assert person.motion.state is INTERVENTION, person.motion.pipeline.hold_reason
        assert person.motion.hand_back() == ""
        person.run(rng.uniform(0.05, 0.8))
        assert person.motion.state is RUNNING
    assert person.motion.pipeline.holds == 0


@pytest.mark.parametrize(("mode", "controllers"), MODES)
def test_at_random_moments_no_limit_is_violated_and_nothing_steps(mode, controllers):
    take_over_at_random(mode, controllers, seed=0, times=6)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "controllers"), MODES)
def test_at_thirty_random_moments_each_nothing_steps(mode, controllers):
    for seed in range(1, 11):
        take_over_at_random(mode, controllers, seed, times=3)


def test_the_arms_make_the_leaders_motion_from_where_they_are():
    person = Person()
    person.leader = np.array([0.7, 0.01, -0.9])  # far from the arms
    person.run(0.1)
    assert person.motion.take_over() == ""
    person.run(1.0)
    rest = person.commands[-1].copy()
    assert np.ptp(person.commands[-10:], axis=0).max() < 1e-9  # they stand
    begin = seconds(person)
    person.move = lambda t: person.leader + np.array([0.4, 0.0, 0.3]) * min(1.0, t - begin)
    person.run(2.0)
    assert np.abs(person.commands[-1] - rest - [0.4, 0.0, 0.3]).max() < 1e-3


def test_the_leader_slips_at_a_limit():
    person = Person()
    assert person.motion.take_over() == ""
    person.run(1.0)
    begin = seconds(person)
    person.move = lambda t: np.array([3.0, 0.0, 0.0]) * np.interp(t - begin, [0.0, 3.0, 4.0], [0.0, 1.0, 0.9])
    person.run(3.0)
    assert abs(person.commands[-1][SHOULDER] - CONTRACT.limits.position_max[SHOULDER]) < 1e-2
    person.run(2.0)  # the leader goes back by 0.3: so does the arm, at once
    assert abs(person.commands[-1][SHOULDER] - CONTRACT.limits.position_max[SHOULDER] + 0.3) < 2e-2


def test_the_arms_wait_for_the_leader_to_come_close():
    person = Person(TakeoverMode.MATCH)
    person.leader = np.array([1.5, 0.02, 0.0])
    person.run(0.1)
    assert person.motion.take_over() == ""
    person.run(1.0)
    rest = person.commands[-1].copy()
    assert "shoulder by -" in person.motion.takeover.text
    begin, start = seconds(person), person.leader.copy()
    person.move = lambda t: start + (rest - start) * min(1.0, 0.5 * (t - begin))
    person.run(3.0)
    assert "a person drives" in person.motion.takeover.text
    person.leader, person.move = rest + np.array([0.05, 0.0, -0.05]), None
    person.run(2.0)
    assert np.abs(person.commands[-1] - person.leader).max() < 5e-3  # they are where the leader is


def test_the_other_arm_follows_the_policy_on():
    alone, person = Person(), Person()
    assert person.motion.take_over(["hand"]) == ""
    assert person.motion.takeover.human_joints == ["finger"]
    alone.run(2.0)
    person.run(2.0)
    difference = np.abs(np.array(alone.commands[-50:]) - np.array(person.commands[-50:]))
    assert difference[:, [SHOULDER, ELBOW]].max() < 2e-3


def test_the_policy_infers_on_so_that_handing_back_is_immediate():
    person = Person()
    assert person.motion.take_over() == ""
    person.run(3.0)
    assert person.motion.wants_chunks
    assert person.motion.hand_back() == ""
    person.run(1.0)
    assert person.motion.state is RUNNING and person.motion.pipeline.holds == 0


def test_without_a_chunk_handing_back_is_refused_and_the_person_drives_on():
    person = Person()
    assert person.motion.take_over() == ""
    person.on["chunks"] = False
    person.run(4.0)
    assert person.motion.state is INTERVENTION  # a policy that hangs does not stop a person
    assert "no chunk" in person.motion.hand_back()
    assert person.motion.state is INTERVENTION
    person.on["chunks"] = True
    person.run(0.5)
    assert person.motion.hand_back() == ""


def test_a_chunk_that_is_not_finite_does_not_stop_a_person():
    person = Person()
    assert person.motion.take_over() == ""
    person.chunk_scale = np.nan
    person.run(1.0)
    assert person.motion.state is INTERVENTION
    assert "no chunk" in person.motion.hand_back()


def test_a_policy_that_drives_the_other_arm_and_hangs_is_a_hold():
    person = Person()
    assert person.motion.take_over(["hand"]) == ""
    person.on["chunks"] = False
    person.run_until(HOLD, 4.0)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("silent", "the leader is silent"),
        ("jumps", "the leader jumps: elbow"),
        ("nan", "the leader's message cannot be used: not finite"),
        ("wrong joints", "the leader's message cannot be used: JointState lacks"),
    ],
)
@pytest.mark.parametrize("mode", TakeoverMode)
def test_a_leader_that_cannot_be_followed_is_a_hold(harm, reason, mode):
    person = Person(mode)
    person.leader = np.array([0.0, 0.02, 0.0])
    assert person.motion.take_over() == ""
    person.run(0.5)
    if harm == "silent":
        person.speaks = False
    elif harm == "jumps":
        person.leader = person.leader + np.array([0.0, 0.0, 0.5])
    else:
        texts = {"nan": "not finite", "wrong joints": "JointState lacks elbow"}
        person.track.refuse(texts[harm], person.now_ns)
    person.run_until(HOLD, 0.5)
    assert reason in person.motion.pipeline.hold_reason
    person.speaks = True
    person.run(RECOVERY + 1.0)
    assert person.motion.state is HOLD  # the policy does not take the arms out of a person's hands
    assert person.motion.take_over() == ""  # the leader is well again: the person goes on
    person.run(0.5)
    assert person.motion.state is INTERVENTION


@pytest.mark.parametrize("name", ["joints", "arm"])
def test_what_moves_the_arms_is_watched_as_ever(name):
    person = Person()
    assert person.motion.take_over() == ""
    person.run(0.5)
    if name == "joints":
        person.on["joints"] = False
    else:
        person.controllers.lost = {"arm": "gone"}
    person.run_until(HOLD, 1.0)
    person.on["joints"], person.controllers.lost = True, {}
    person.run(RECOVERY + 1.0)
    assert person.motion.state is HOLD
    assert person.motion.resume() == ""  # an operator decides


def test_an_e_stop_beats_a_person():
    person = Person()
    assert person.motion.take_over() == ""
    person.e_stop.latch()
    assert person.motion.state is HOLD
    assert "e-stop" in person.motion.take_over()
    assert "e-stop" in person.motion.home()
    person.e_stop.clear()
    person.run(1.0)
    assert person.motion.state is HOLD
    assert person.motion.take_over() == ""


def test_moving_the_resting_leader_takes_over():
    person = Person(by_motion=0.05)
    person.run(1.0)
    assert person.motion.state is RUNNING
    begin = seconds(person)
    person.move = lambda t: np.array([0.5 * (t - begin), 0.0, 0.0])
    person.run_until(INTERVENTION, 1.0)
    assert person.motion.hand_back() == ""
    person.run(0.5)
    assert person.motion.state is RUNNING  # the leader still moves: it must rest first
    person.leader, person.move = person.move(seconds(person)), None
    person.run(1.0)
    begin, start = seconds(person), person.leader
    person.move = lambda t: start - np.array([0.5 * (t - begin), 0.0, 0.0])
    person.run_until(INTERVENTION, 1.0)


def test_what_cannot_be_taken_over_is_refused():
    person = Person(joints=np.array([FINGER]))
    assert "no controller 'foot'" in person.motion.take_over(["foot"])
    assert "the leader does not move shoulder" in person.motion.take_over(["arm"])
    assert person.motion.take_over() == "" and person.motion.takeover.human_joints == ["finger"]
    person.speaks = False
    silent = Person()
    silent.speaks = False
    silent.run(1.0)
    assert "the leader is silent" in silent.motion.take_over()
    assert silent.motion.state is RUNNING
    stopping = Person(pacing=Pacing.STOP_AND_GO)
    assert "stop_and_go" in stopping.motion.take_over(["arm"])


def test_a_refused_taking_over_does_not_end_a_hold():
    person = Person()
    person.motion.hold("a fault of the policy")
    person.speaks = False
    person.run(2.0)
    assert "the leader is silent" in person.motion.take_over()
    assert person.motion.state is HOLD
    person.speaks = True
    person.run(0.1)
    assert person.motion.take_over() == "" and person.motion.state is INTERVENTION


def test_in_stop_and_go_the_arms_rest_and_the_policy_goes_on():
    person = Person(pacing=Pacing.STOP_AND_GO)
    assert person.motion.take_over() == ""
    person.run(2.0)
    assert person.motion.hand_back() == ""
    plans = person.motion.pipeline.plans
    person.run(4.0)
    assert person.motion.state is RUNNING and person.motion.pipeline.plans > plans + 2


def test_home_moves_slowly_to_the_rest_pose_and_the_policy_goes_on_when_asked():
    person = Person()
    assert person.motion.home() == ""
    person.run(1.0)
    speeds = np.diff(person.commands[-20:], axis=0) / 0.02
    assert (np.abs(speeds) <= 0.21 * CONTRACT.limits.velocity).all()
    assert "s are left" in person.motion.takeover.text and person.motion.takeover.human_joints == []
    person.run(8.0)
    assert np.abs(person.commands[-1] - CONTRACT.rest_pose).max() < 1e-6
    assert "~/resume" in person.motion.takeover.text
    assert "rest pose" in person.motion.take_over()
    assert person.motion.hand_back() == ""
    person.run(1.0)
    assert person.motion.state is RUNNING


def test_home_is_refused_without_a_rest_pose():
    person = Person()
    person.motion.takeover._contract = person.motion._contract = CONTRACT.__class__(
        **{name: getattr(CONTRACT, name) for name in CONTRACT.__slots__} | {"rest_pose": ()}
    )
    assert "rest_pose" in person.motion.home()
    assert person.motion.state is RUNNING
