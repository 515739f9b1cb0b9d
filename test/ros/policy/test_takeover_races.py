# SPDX-License-Identifier: Apache-2.0
"""Taking over in the wrong order, twice, one arm after the other, and while a fault comes up."""

import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from control_loop import START_NS
from taking_over import Person

from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import MotionState, Pacing
from dit_policy_ros.core.takeover import TakeoverMode

RUNNING, HOLD, INTERVENTION = MotionState.RUNNING, MotionState.HOLD, MotionState.INTERVENTION
SHOULDER, FINGER, ELBOW = range(3)


def led_at(speed, mode=TakeoverMode.CLUTCH, controllers=()):
    """A person who drives, with the leader's shoulder at a constant speed [rad/s]."""
    person = Person(mode)
    person.chunk_scale = 0.0
    person.run(1.0)
    assert person.motion.take_over(controllers) == ""
    person.run(0.6)
    begin = (person.now_ns - START_NS) * 1e-9
    person.move = lambda t: person.leader + np.array([speed * max(t - begin, 0.0), 0.0, 0.0])
    person.run(0.5)
    assert person.motion.state is INTERVENTION
    return person


@pytest.mark.parametrize("mode", TakeoverMode)
def test_taking_over_what_one_drives_already_changes_nothing(mode):
    once, twice = led_at(0.8, mode), led_at(0.8, mode)
    for again in ((), ("hand",)):
        assert twice.motion.take_over(again) == ""
        once.run(0.3)
        twice.run(0.3)
    assert np.array_equal(np.array(once.commands), np.array(twice.commands))
    assert once.motion.takeover.human_joints == twice.motion.takeover.human_joints


@pytest.mark.parametrize("mode", TakeoverMode)
def test_an_arm_that_is_led_goes_on_while_another_one_is_taken_over(mode):
    alone, both = led_at(0.8, mode, ["arm"]), led_at(0.8, mode, ["arm"])
    if mode is TakeoverMode.MATCH:
        both.leader = both.leader + np.array([0.0, 0.03, 0.0])  # a gripper may jump; it does not match yet
        both.run(0.1)
        alone.run(0.1)
    assert both.motion.take_over(["hand"]) == ""
    assert both.motion.takeover.human_joints == ["shoulder", "finger", "elbow"]
    if mode is TakeoverMode.MATCH:
        assert "wait for the leader: move it, finger" in both.motion.takeover.text
    alone.run(0.5)
    both.run(0.5)
    difference = np.abs(np.array(alone.commands) - np.array(both.commands))[:, [SHOULDER, ELBOW]]
    assert difference.max() < 1e-9
    both.leader = both.leader * [1.0, 0.0, 1.0]
    both.run(0.5)
    assert "a person drives shoulder, finger, elbow" in both.motion.takeover.text
    assert both.motion.hand_back() == "" and both.motion.state is RUNNING


@pytest.mark.parametrize("begin", ["take_over", "home"])
def test_a_lead_that_holds_at_once_is_refused_with_the_reason(begin):
    person = Person()
    checked = person.controllers.checked_messages

    def rejected(plan, now_ns):
        person.controllers.checked_messages = checked  # the braking plan is fine
        raise PlanRejected("the stamp is wrong")

    person.controllers.checked_messages = rejected
    assert "the stamp is wrong" in getattr(person.watch, begin)()
    assert person.motion.state is HOLD


def test_a_leader_whose_samples_are_gone_holds_and_breaks_nothing():
    person = Person()
    person.run(0.1)
    person.track.fault = lambda now_ns, since_ns: ""  # the samples went after it was asked
    person.track.stream.clear()
    assert "not finite" in person.motion.take_over()
    assert person.motion.state is HOLD
    person.run(1.0)
    assert person.motion.take_over() == ""
    person.run(0.2)
    person.speaks = False
    person.track.stream.clear()
    person.run(0.1)
    assert person.motion.state is HOLD and "not finite" in person.motion.pipeline.hold_reason


def test_a_leader_that_jumped_a_moment_ago_is_not_followed():
    person = Person(by_motion=0.05)
    person.run(1.0)
    person.leader = person.leader + np.array([0.5, 0.0, 0.0])
    person.run(0.04)
    assert person.motion.state is RUNNING  # a jump is no hand that moves it
    assert "the leader jumps" in person.motion.take_over()
    person.run(1.0)
    assert person.motion.state is RUNNING
    assert person.motion.take_over() == ""


def test_a_message_that_cannot_be_used_is_no_motion_of_the_leader():
    person = Person(by_motion=0.05)
    person.run(1.0)
    begin = (person.now_ns - START_NS) * 1e-9
    person.move = lambda t: np.array([0.5 * (t - begin), 0.0, 0.0])
    for _ in range(20):
        person.track.refuse("JointState lacks elbow", person.now_ns)
        person.run(0.04)
    assert person.motion.state is RUNNING


def test_a_tick_judges_by_one_state(monkeypatch):
    """The camera is gone and a person takes over while the tick looks: who is told yes drives on."""
    person = Person()
    taken = []

    def taking_over_meanwhile(now_ns):
        thread = threading.Thread(target=lambda: taken.append(person.watch.take_over()), daemon=True)
        thread.start()
        thread.join(0.2)  # it ends now if nothing keeps it waiting
        person.threads.append(thread)
        return "stale observation: camera top"

    person.threads = []
    monkeypatch.setattr(person.watch, "policy_fault", lambda: taking_over_meanwhile(person.now_ns))
    person.watch.tick()
    monkeypatch.undo()
    for thread in person.threads:
        thread.join(10.0)
    assert (taken == [""]) == (person.motion.state is INTERVENTION)
    person.run(1.0)
    assert person.watch.take_over() == ""


@pytest.mark.parametrize("begin", ["take_over", "home"])
def test_a_hold_that_begins_meanwhile_is_judged_before_it_is_ended(begin, monkeypatch):
    """The controller is lost and a tick holds because of it after the service was called."""
    person = Person(pacing=Pacing.STOP_AND_GO)
    while not person.motion.at_rest:  # so that nothing but its cause keeps the HOLD
        person.tick()
    gate = getattr(person.motion, begin)

    def after_a_tick(*arguments):
        person.controllers.lost = {"arm": "gone"}
        ticking = threading.Thread(target=person.watch.tick, daemon=True)
        ticking.start()
        ticking.join(0.2)
        answer = gate(*arguments)
        after_a_tick.thread = ticking
        return answer

    monkeypatch.setattr(person.motion, begin, after_a_tick)
    getattr(person.watch, begin)()
    after_a_tick.thread.join(10.0)
    assert person.motion.state is HOLD and "controller lost" in person.motion.pipeline.hold_reason


def test_the_text_may_be_read_while_the_lead_ends():
    """Status and services read it in other threads, without the motion's lock."""
    person = Person()
    assert person.motion.take_over() == ""
    takeover, lead = person.motion.takeover, person.motion.takeover.lead
    reads = iter([lead, None])

    class Ending(type(takeover)):
        lead = property(lambda self: next(reads, None))

    takeover.__class__ = Ending
    assert "a person drives" in takeover.text


def test_after_the_way_home_a_person_may_take_over_whatever_ended_it():
    for end in ("hand_back", "hold"):
        person = Person()
        assert person.motion.home() == ""
        person.run(0.3)
        if end == "hold":
            person.motion.hold("a collision")
        else:
            assert person.motion.hand_back() == ""
        assert not person.motion.takeover.is_homing
        person.run(1.0)
        assert person.motion.take_over() == ""


def test_a_leader_that_is_close_waits_until_the_arms_rest():
    person = Person(TakeoverMode.MATCH)
    person.run(0.1)
    assert np.abs(person.motion.pipeline.plan.sample_at(person.now_ns)[1]).max() > 0.1
    assert person.motion.take_over() == ""
    lead = person.motion.takeover.lead
    person.track.stream.clear()
    person.leader = lead._rest.copy()
    person.run(0.04)
    assert person.motion.state is INTERVENTION
    assert person.motion.takeover.text == "the arms come to rest"
    person.run(1.0)
    assert "a person drives" in person.motion.takeover.text


def test_handing_back_waits_for_a_chunk_of_the_new_task():
    person = Person()
    assert person.motion.take_over() == ""
    person.run(0.5)
    person.motion.change_task()
    assert "no chunk" in person.motion.hand_back()
    person.run(0.2)
    assert person.motion.hand_back() == "" and person.motion.state is RUNNING


def test_the_policy_is_as_slow_after_handing_back_as_before():
    person = Person()
    person.motion.set_velocity_scale(0.3)
    assert person.motion.take_over() == ""
    person.run(0.5)
    assert person.motion.hand_back() == ""
    assert {group.velocity_scale for group in person.motion.pipeline._groups} == {0.3}
