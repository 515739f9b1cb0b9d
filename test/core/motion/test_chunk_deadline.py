# SPDX-License-Identifier: Apache-2.0
"""When a chunk counts as missing."""

from dit_policy_ros.core.motion import ChunkDeadline

SECOND = 1_000_000_000


def waiting(timeout=2.0):
    deadline = ChunkDeadline(timeout)
    deadline.restart(100 * SECOND, 5 * SECOND)
    return deadline


def test_a_chunk_is_overdue_only_when_both_clocks_say_so():
    deadline = waiting()
    for node, steady, is_over in (
        (2.0, 2.0, False),  # the timeout itself is allowed
        (2.1, 2.1, True),
        (0.0, 300.0, False),  # the simulation is paused
        (0.1, 2.1, False),  # the simulation is slow
        (2.1, 0.1, False),  # the simulation is fast, or the clock was set ahead
        (-60.0, 2.1, False),  # the clock was set back
    ):
        now_ns, steady_ns = round((100 + node) * SECOND), round((5 + steady) * SECOND)
        assert deadline.is_over(now_ns, steady_ns) is is_over, (node, steady)


def test_a_chunk_restarts_the_wait_and_a_late_one_does_not():
    deadline = waiting()
    deadline.miss(102 * SECOND, 7 * SECOND)
    deadline.add_late_chunk()
    assert deadline.missed and deadline.is_over(103 * SECOND, 8 * SECOND)
    assert "none for 3.0 s" in deadline.describe(8 * SECOND, True)
    assert "1 chunks came too late" in deadline.describe(8 * SECOND, True)
    deadline.restart(103 * SECOND, 8 * SECOND)
    assert not deadline.missed and not deadline.is_over(103 * SECOND, 8 * SECOND)
    assert "too late" not in deadline.describe(11 * SECOND, True)


def test_late_chunks_are_counted_from_the_last_restart_on():
    deadline = ChunkDeadline(2.0)
    assert "too late" not in deadline.describe(8 * SECOND, True)
    for chunks in (1, 2):
        deadline.restart(0, 0)
        for _ in range(chunks):
            deadline.add_late_chunk()
        assert f"{chunks} chunks came too late" in deadline.describe(8 * SECOND, True)


def test_an_inference_that_hangs_is_told_from_one_that_takes_its_time():
    deadline = waiting()
    deadline.set_busy(6 * SECOND)
    assert not deadline.is_hung(8 * SECOND) and deadline.is_hung(8 * SECOND + 1)
    text = deadline.describe(10 * SECOND, False)
    assert text.startswith("no chunk: none for 4.0 s (chunk_timeout is 2 s)") and "running for 4.0 s" in text
    deadline.set_busy(None)
    assert not deadline.is_hung(300 * SECOND)


def test_once_the_arms_stand_a_long_timeout_keeps_nobody_in_the_dark():
    deadline = waiting(timeout=60.0)
    deadline.miss(101 * SECOND, 6 * SECOND)
    for node, steady, is_over in (
        (3.0, 3.0, False),
        (3.1, 3.1, True),
        (3.1, 3.0, False),
        (1.0, 300.0, False),
    ):
        now_ns, steady_ns = round((100 + node) * SECOND), round((5 + steady) * SECOND)
        assert deadline.is_over(now_ns, steady_ns) is is_over, (node, steady)
    deadline.miss(103 * SECOND, 8 * SECOND)
    assert deadline.is_over(104 * SECOND, 9 * SECOND), "what counts is since when"
    deadline.set_busy(6 * SECOND)
    text = deadline.describe(9 * SECOND, True)
    assert "none for 4.0 s" in text and "an inference has been running for 3.0 s" in text
    assert "hangs" not in text, "that is not known yet"
    deadline.restart(104 * SECOND, 9 * SECOND)
    assert not deadline.missed and not deadline.is_over(120 * SECOND, 25 * SECOND)
