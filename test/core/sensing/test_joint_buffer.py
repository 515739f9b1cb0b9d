# SPDX-License-Identifier: Apache-2.0
"""Joint states that come in several messages are joined by name, each joint with its own age."""

import numpy as np
import pytest

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.sensing import JointBuffer, StreamSettings, stale_reason

MS = 1_000_000
SECOND = NANOSECONDS
START = 1_700_000_000 * SECOND
JOINTS = ("a", "b", "c", "d")


def buffer(max_age: float = 0.2, continuous: tuple[bool, ...] = (False,) * 4) -> JointBuffer:
    settings = StreamSettings(
        "joint_states", max_age, 1000, keep=2.0, topic="/joint_states", config_key="joint_states.max_age"
    )
    return JointBuffer(settings, JOINTS, np.array(continuous))


def pose(time_ns: int) -> np.ndarray:
    """Each joint moves at its own speed."""
    return np.array([1.0, 2.0, -1.0, 0.5]) * (time_ns - START) / SECOND


def fill(joints: JointBuffer, *drivers: tuple[tuple[int, ...], float, float], since: float = 0.0) -> None:
    """Messages of drivers, each with the indices of its joints, its rate [Hz] and its end [s], in order."""
    events = [
        (START + round(k * SECOND / rate), indices)
        for indices, rate, until in drivers
        for k in range(round(since * rate), round(until * rate) + 1)
    ]
    for stamp, indices in sorted(events):
        joints.push_some(stamp, indices, pose(stamp)[list(indices)], stamp)


def test_a_message_with_all_joints_is_one_part() -> None:
    joints = buffer()
    fill(joints, ((0, 1, 2, 3), 100.0, 0.5))
    assert [part.names for part in joints.parts] == [JOINTS]
    assert joints.counters.accepted == len(joints) == 51
    assert joints.newest_stamp_ns == START + 500 * MS


def test_arms_of_different_rates_are_interpolated_each_between_its_own_samples() -> None:
    """A slow gripper must not blur a fast arm: both are exact for linear motion, at any time."""
    joints = buffer()
    fill(joints, ((0, 1, 2), 500.0, 1.0), ((3,), 10.0, 1.0))
    for ms in (1, 133, 555, 987):
        found, distance = joints.at(START + ms * MS)
        np.testing.assert_allclose(found, pose(START + ms * MS), atol=1e-9)
        assert distance <= 0.05
    assert joints.at(START + 50 * MS)[1] == pytest.approx(0.05)  # of the gripper, the worst


def test_the_newest_pose_is_as_old_as_the_oldest_part_and_the_latest_has_each_joint_s_newest() -> None:
    joints = buffer()
    fill(joints, ((0, 1), 100.0, 1.0), ((2, 3), 100.0, 0.95))
    newest = joints.newest()
    assert newest.stamp_ns == joints.newest_stamp_ns == START + 950 * MS
    np.testing.assert_allclose(newest.value, pose(START + 950 * MS), atol=1e-9)
    latest = joints.latest_at(START + 2 * SECOND)
    assert latest.stamp_ns == START + 950 * MS
    np.testing.assert_allclose(latest.value[:2], pose(START + SECOND)[:2], atol=1e-9)
    np.testing.assert_allclose(latest.value[2:], pose(START + 950 * MS)[2:], atol=1e-9)


def test_there_is_no_pose_until_every_joint_has_come() -> None:
    joints = buffer()
    fill(joints, ((0, 1, 2), 100.0, 0.5))
    assert joints.missing() == ("d",)
    now = START + SECOND // 2
    for nothing in (joints.at(now), joints.newest(), joints.latest_at(now), joints.newest_stamp_ns):
        assert nothing is None
    assert joints.counters.accepted == len(joints) == 0
    assert stale_reason(joints, now) == "stream 'joint_states' (/joint_states): nothing received of d."


def test_the_name_that_the_robot_has_for_a_missing_joint_is_shown() -> None:
    joints = buffer()
    fill(joints, ((0, 1, 2), 100.0, 0.5))
    assert not joints.note_others(("wheel", "dd"), START)
    assert joints.note_others(("wheel", "dd"), START + SECOND // 2)
    reason = stale_reason(joints, START + SECOND // 2)
    assert "nothing received of d; a message names wheel, dd. Did you mean 'dd'?" in reason


def test_a_joint_that_no_longer_comes_is_stale_by_its_name() -> None:
    joints = buffer()
    fill(joints, ((0, 1), 100.0, 1.0), ((2,), 100.0, 0.5), ((3,), 100.0, 1.0))
    now = START + SECOND
    reason = stale_reason(joints, now)
    assert reason == (
        "stream 'joint_states' (/joint_states): c: newest sample is 0.500 s old, "
        "joint_states.max_age is 0.2 s"
    )
    fill(joints, ((2,), 100.0, 1.0), since=1.0)
    assert stale_reason(joints, now) is None


def test_late_joints_can_be_asked_for_while_messages_are_being_read() -> None:
    """A callback runs while the waiting messages are read, and must not read them once more."""
    joints = buffer()
    fill(joints, ((0, 1), 100.0, 1.0), ((2,), 100.0, 0.5))

    def read_again() -> None:
        raise AssertionError("a second reader would wait for the first for ever")

    joints.before_read = read_again
    assert joints.late_joints(START + SECOND) == ("c", "d")
    assert not joints.note_others(("x",), START + SECOND)
    assert joints.push_some(START + SECOND, (0, 1, 2, 3), pose(START + SECOND), START + SECOND, "/left")
    with pytest.raises(StreamError):
        joints.push_some(START, (0, 1), np.zeros(2), START + SECOND, "/right")
    joints.refuse("bad", START + SECOND)


def test_if_all_joints_are_stale_the_reason_names_the_stream_alone() -> None:
    joints = buffer()
    fill(joints, ((0, 1), 100.0, 1.0), ((2, 3), 100.0, 0.9))
    reason = stale_reason(joints, START + 2 * SECOND)
    assert "(/joint_states): newest sample is 1.100 s old" in reason


def test_joints_that_came_together_may_come_alone_later_and_overlap() -> None:
    """A driver that sends all at first, then changed joints only, in any combination."""
    joints = buffer()
    fill(joints, ((0, 1, 2, 3), 100.0, 0.5))
    before = joints.counters.accepted
    rng = np.random.default_rng(0)
    for k in range(51, 101):
        stamp = START + 10 * k * MS
        some = tuple(sorted(rng.choice(4, size=rng.integers(1, 4), replace=False).tolist()))
        others = tuple(sorted({0, 1, 2, 3} - {*some}))
        for indices in (some, others):
            assert joints.push_some(stamp, indices, pose(stamp)[list(indices)], stamp)
    assert sorted(name for part in joints.parts for name in part.names) == list(JOINTS)
    assert joints.counters.accepted == before + 50
    for ms in (103, 505, 777, 995):
        np.testing.assert_allclose(joints.at(START + ms * MS)[0], pose(START + ms * MS), atol=1e-9)


def test_a_joint_on_two_topics_is_refused_from_the_second_and_the_stream_is_not_usable() -> None:
    joints = buffer()
    for k in range(50):
        stamp = START + 10 * k * MS
        joints.push_some(stamp, (0, 1, 2, 3), pose(stamp), stamp, "/left")
        with pytest.raises(StreamError, match="a comes on /left and on /right"):
            joints.push_some(stamp + MS, (0, 1), np.array([9.0, 9.0]), stamp + MS, "/right")
    reason = stale_reason(joints, stamp + 2 * MS)
    assert "a comes on /left and on /right" in reason and "joint_states.prefixes" in reason
    np.testing.assert_allclose(joints.latest_at(stamp + MS).value, pose(stamp))
    later = stamp + 300 * MS  # the second one was stopped
    joints.push_some(later, (0, 1, 2, 3), pose(later), later, "/left")
    assert stale_reason(joints, later) is None


def test_the_clock_of_one_computer_of_several_shows() -> None:
    joints = buffer()
    for k in range(100):
        now = START + 10 * k * MS
        joints.push_some(now - 2 * MS, (0, 1), np.zeros(2), now)
        joints.push_some(now + 40 * MS, (2, 3), np.zeros(2), now)
    assert joints.clock_offset() == pytest.approx(-0.04)


def test_if_our_clock_is_set_back_all_parts_begin_anew() -> None:
    joints = buffer()
    fill(joints, ((0, 1), 100.0, 1.0), ((2, 3), 100.0, 1.0))
    early = START - 10 * SECOND
    joints.push_some(early, (0, 1), np.zeros(2), early)
    assert joints.newest_stamp_ns is None and joints.counters.clock_resets == 1
    joints.push_some(early, (2, 3), np.zeros(2), early)
    assert joints.newest_stamp_ns == early


def test_a_continuous_joint_takes_the_short_way_in_its_own_part() -> None:
    joints = buffer(continuous=(False, False, False, True))
    joints.push_some(START, (0, 1, 2), np.zeros(3), START)
    joints.push_some(START, (3,), np.array([3.1]), START)
    joints.push_some(START + 100 * MS, (0, 1, 2), np.ones(3), START + 100 * MS)
    joints.push_some(START + 100 * MS, (3,), np.array([-3.1]), START + 100 * MS)
    found, _ = joints.at(START + 50 * MS)
    assert abs(found[3]) == pytest.approx(np.pi) and found[0] == pytest.approx(0.5)


def test_refused_messages_beside_a_missing_joint_are_in_the_reason() -> None:
    joints = buffer()
    fill(joints, ((0, 1, 2), 100.0, 0.5))
    joints.refuse("d = nan", START)
    reason = stale_reason(joints, START + SECOND // 2)
    assert "nothing received of d. There came 1 message that cannot be used: d = nan" in reason
