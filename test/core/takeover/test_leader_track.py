# SPDX-License-Identifier: Apache-2.0
"""Where a leader was, where it is expected to stop, and when it cannot be followed."""

import numpy as np
import pytest
from motion_helpers import motion_limits

from dit_policy_ros.core.sensing import JointBuffer, StreamSettings
from dit_policy_ros.core.takeover import LeaderTrack

MS = 1_000_000
T0 = 1_790_000_000_000 * MS
JOINTS = ("a", "b")


def make_track(grippers=(False, False), limits=None):
    settings = StreamSettings("leader", 0.2, 1000, 2.0, "leader", "takeover.timeout")
    stream = JointBuffer(settings, JOINTS, configured_in="takeover")
    return LeaderTrack(JOINTS, stream, limits or motion_limits(), np.array(grippers))


def moved(track, pose, milliseconds=200, period=10):
    """The leader is at `pose(t)` at t [s], until now [ns]."""
    for k in range(0, milliseconds + 1, period):
        now_ns = T0 + k * MS
        track.push(now_ns, np.asarray(pose(k / 1000.0), dtype=float), now_ns)
    return T0 + milliseconds * MS


def test_between_samples_it_is_interpolated_and_after_them_it_brakes():
    track = make_track()
    now_ns = moved(track, lambda t: (t, -2.0 * t))
    times = now_ns + np.array([-45, -5, 0, 50, 1000, 5000]) * MS
    rows = track.at(times)
    assert np.allclose(rows[:3], [[0.155, -0.31], [0.195, -0.39], [0.2, -0.4]])
    stop = np.array(
        [0.2 + 1.0 / (2 * 0.8 * 8.0), -0.4 - 4.0 / (2 * 0.8 * 8.0)]
    )  # v^2 / 2a, a: 80 % of the limit
    assert np.allclose(rows[-1], stop) and np.allclose(rows[-2], stop)
    assert (np.abs(rows[3]) > np.abs(rows[2])).all() and (np.abs(rows[3]) < np.abs(stop)).all()


def test_a_leader_that_is_too_quick_is_expected_to_stop_as_an_arm_would():
    track = make_track()
    now_ns = moved(track, lambda t: (10.0 * t, 0.0))
    (row,) = track.at(np.array([now_ns + 5000 * MS]))
    assert np.isclose(row[0], 2.0 + 2.5**2 / (2 * 0.8 * 8.0))


@pytest.mark.parametrize(("step", "is_jump"), [(0.3, True), (0.12, False)])
def test_a_step_that_no_hand_makes_is_a_jump(step, is_jump):
    track = make_track()
    now_ns = moved(track, lambda t: (0.0, 0.0))
    track.push(now_ns + 10 * MS, np.array([0.0, step]), now_ns + 10 * MS)
    fault = track.fault(now_ns + 10 * MS, T0)
    assert fault.startswith("the leader jumps: b by") is is_jump and bool(fault) is is_jump
    assert bool(track.fault(now_ns + 10 * MS, now_ns + 10 * MS)) is is_jump  # the very instant counts
    assert track.fault(now_ns + 10 * MS, now_ns + 11 * MS) == ""  # what was before counts no more


def test_a_slow_leader_and_a_trigger_may_step():
    slow = make_track()
    moved(slow, lambda t: (5.0 * t, 0.0), period=50)
    assert slow.fault(T0 + 200 * MS, T0) == ""
    trigger = make_track(grippers=(False, True))
    now_ns = moved(trigger, lambda t: (0.0, 1.0 if t > 0.1 else 0.0))
    assert trigger.fault(now_ns, T0) == ""


def test_silence_and_messages_that_cannot_be_used_are_faults():
    track = make_track()
    assert "the leader is silent" in track.fault(T0, T0) and "nothing received" in track.fault(T0, T0)
    now_ns = moved(track, lambda t: (0.0, 0.0))
    assert track.fault(now_ns + 150 * MS, T0) == ""
    assert "the leader is silent" in track.fault(now_ns + 250 * MS, T0)
    track.refuse("JointState lacks b", now_ns)
    assert track.fault(now_ns, T0) == "the leader's message cannot be used: JointState lacks b"


def test_a_joint_that_turns_takes_the_short_way():
    limits = motion_limits()
    endless = type(limits)(
        np.array([-np.inf, -1.0]), np.array([np.inf, 1.5]), limits.velocity, limits.acceleration
    )
    track = make_track(limits=endless)
    track.push(T0, np.array([3.1, 0.0]), T0)
    track.push(T0 + 10 * MS, np.array([-3.1, 0.0]), T0 + 10 * MS)
    assert track.fault(T0 + 10 * MS, T0) == ""
    assert np.isclose(track.newest()[0], 2.0 * np.pi - 3.1)


def test_how_far_it_moved_is_a_share_of_the_range():
    track = make_track()
    moved(track, lambda t: (t, 0.0), milliseconds=1000)
    assert np.isclose(track.moved(500 * MS), 0.5 / 2.5)


def test_a_late_sample_is_compared_with_both_of_its_neighbours():
    track = make_track()
    now_ns = moved(track, lambda t: (0.0, 0.0))
    track.push(now_ns - 5 * MS, np.array([0.05, 0.0]), now_ns + MS)
    assert track.fault(now_ns + MS, T0) == "" and track.stream.counters.out_of_order == 1
    track.push(now_ns - 15 * MS, np.array([0.0, 0.9]), now_ns + 2 * MS)
    assert track.fault(now_ns + 2 * MS, T0).startswith("the leader jumps: b by 0.9")


def test_a_repeated_sample_counts_once_whatever_it_says():
    track = make_track()
    now_ns = moved(track, lambda t: (0.0, 0.0))
    track.push(now_ns, np.array([0.9, 0.0]), now_ns + MS)
    assert track.fault(now_ns + MS, T0) == "" and track.newest()[0] == 0.0


def test_positions_that_are_not_finite_are_refused():
    """A unit's factor may make infinity of a number that a message can hold."""
    track = make_track()
    now_ns = moved(track, lambda t: (0.0, 0.0))
    track.push(now_ns + MS, np.array([np.inf, 0.0]), now_ns + MS)
    assert "not finite" in track.fault(now_ns + MS, T0) and "a" in track.fault(now_ns + MS, T0)
    assert np.array_equal(track.newest(), [0.0, 0.0])


def test_a_buffer_that_is_emptied_meanwhile_gives_nan():
    """A clock that was set back empties it in another thread, between any two calls."""
    track = make_track()
    now_ns = moved(track, lambda t: (t, 0.0))
    at, calls = track.stream.at, []

    def emptied(stamp_ns):
        calls.append(stamp_ns)
        if len(calls) > 1:  # the first is for the newest sample
            track.stream.clear()
        return at(stamp_ns)

    track.stream.at = emptied
    assert np.isfinite(track.at(np.array([now_ns - 5 * MS, now_ns + 5 * MS]))).all()
    assert np.isnan(track.at(np.array([now_ns - 5 * MS, now_ns + 5 * MS]))).all()
    assert track.moved(500 * MS) == 0.0


LEFT, RIGHT = (0,), (1,)


def both(track, until, period=10, start=0, right_until=None):
    """Two leaders with a joint each; the right one's messages come 3 ms later."""
    for k in range(start, until + 1, period):
        now_ns = T0 + k * MS
        track.push_some(now_ns, LEFT, np.array([k / 1000.0]), now_ns, "/left")
        if right_until is None or k <= right_until:
            later = now_ns + 3 * MS
            track.push_some(later, RIGHT, np.array([-k / 1000.0]), later, "/right")
    return T0 + until * MS


def test_two_leaders_of_an_arm_each_are_one_and_are_read_at_the_same_time():
    track = make_track()
    now_ns = both(track, 200)
    assert track.fault(now_ns + 3 * MS, T0) == ""
    (row,) = track.at(np.array([now_ns - 45 * MS]))
    assert np.allclose(row, [0.155, -0.152])  # not the left one's value with the right one's of another time


@pytest.mark.parametrize(("silent", "at_once"), [("right", 100), ("left", 100)])
def test_one_of_two_leaders_that_goes_silent_is_a_fault_that_names_its_joints(silent, at_once):
    track = make_track()
    both(track, at_once)
    name, chosen = ("a", RIGHT) if silent == "left" else ("b", LEFT)
    for k in range(at_once + 10, at_once + 300, 10):
        now_ns = T0 + k * MS
        track.push_some(now_ns, chosen, np.array([0.1 if chosen == LEFT else -0.1]), now_ns)
    fault = track.fault(now_ns, now_ns)
    assert fault.startswith("the leader is silent") and f"{name}: newest sample" in fault


def test_before_all_leaders_have_come_there_is_none():
    track = make_track()
    track.push_some(T0, LEFT, np.array([0.1]), T0, "/left")
    assert "nothing received of b" in track.fault(T0, T0)
    assert track.newest() is None and track.moved(500 * MS) == 0.0


def test_a_jump_of_one_of_two_leaders_counts():
    track = make_track()
    now_ns = both(track, 100) + 10 * MS
    track.push_some(now_ns, RIGHT, np.array([0.9]), now_ns, "/right")
    assert track.fault(now_ns, T0).startswith("the leader jumps: b by 1 ")


def test_after_the_clock_was_set_back_the_leader_counts_anew():
    track = make_track()
    both(track, 200)
    before_ns = T0 - 1000 * 1000 * MS
    for k in range(0, 100, 10):
        track.push(before_ns + k * MS, np.array([2.0, 2.0]), before_ns + k * MS)
    now_ns = before_ns + 90 * MS
    assert track.fault(now_ns, before_ns) == ""
    assert np.allclose(track.newest(), 2.0)
    track.push(now_ns + 10 * MS, np.array([2.0, 2.9]), now_ns + 10 * MS)
    assert "the leader jumps: b" in track.fault(now_ns + 10 * MS, before_ns)
