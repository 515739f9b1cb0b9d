# SPDX-License-Identifier: Apache-2.0
"""Who drove at any time, from messages that say since when."""

from dit_policy_ros.core.recording import CONTROL, Control, ControlTrack

SECOND = 1_000_000_000
T0 = 1_790_000_000 * SECOND
POLICY, HUMAN = Control("policy", "abc", "/checkpoint"), Control("human", "abc", "/checkpoint")


def track_of(*said):
    """said: (since [s], said at [s], who)."""
    track = ControlTrack("policy/control")
    for since, stamp, who in said:
        track.push(T0 + round(since * SECOND), T0 + round(stamp * SECOND), who)
    return track


def test_a_change_counts_from_its_time_on():
    track = track_of((0.0, 0.0, POLICY), (0.0, 0.1, POLICY), (0.25, 0.26, HUMAN))
    assert track.at(T0 + SECOND // 4 - 1) == POLICY
    assert track.at(T0 + SECOND // 4) == HUMAN
    assert track.newest() == HUMAN


def test_nobody_knows_before_the_first_and_long_after_the_last_word():
    track = track_of((0.0, 0.5, POLICY))
    assert track.at(T0 - 1).controller == "unknown"
    assert track.at(T0 + round(1.4 * SECOND)) == POLICY
    assert track.at(T0 + round(1.6 * SECOND)).controller == "unknown"
    assert CONTROL in track.missing(T0 + 2 * SECOND) and not track.missing(T0 + SECOND)


def test_it_is_final_once_a_later_word_came_or_none_does():
    track = track_of((0.0, 0.5, POLICY))
    assert track.is_settled(T0 + SECOND // 2, T0 + SECOND)
    assert not track.is_settled(T0 + SECOND, T0 + SECOND)
    assert track.is_settled(T0 + SECOND, T0 + 3 * SECOND)


def test_a_clock_that_is_set_back_begins_anew():
    track = track_of((10.0, 10.5, HUMAN), (0.0, 0.1, POLICY))
    assert track.at(T0 + SECOND // 2) == POLICY and track.newest() == POLICY
