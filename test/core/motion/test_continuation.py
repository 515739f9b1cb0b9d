# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from dit_policy_ros.core.motion import Chunk, Continuation, Plan
from dit_policy_ros.core.motion._continuation import continuation
from dit_policy_ros.core.path import PathClock

DT_NS = 100
CHUNK = Chunk(1000, DT_NS, np.arange(10.0)[:, None])  # 1000..1900 ns, one more per step


def plan(first_ns: int, last_ns: int, value: float) -> Plan:
    positions = np.full((2, 1), value)
    return Plan(np.array([first_ns, last_ns]), positions, np.zeros((2, 1)))


def continue_from(plan: Plan, first_ns: int, horizon: int, committed_until_ns: int) -> Continuation | None:
    clocks = [(np.array([0]), PathClock(0))]
    return continuation(CHUNK, plan, clocks, first_ns, first_ns, horizon, committed_until_ns)


def test_rows_are_interpolated_from_the_chunk_and_nan_after_its_end() -> None:
    known = continue_from(plan(5000, 6000, 0.0), 1450, 8, 1449)
    assert known is not None and known.committed == 0
    np.testing.assert_allclose(known.actions[:5, 0], [4.5, 5.5, 6.5, 7.5, 8.5])
    assert np.isnan(known.actions[5:]).all()


def test_committed_rows_come_from_the_plan() -> None:
    """The plan differs from the chunk by ensembling, splicing and limits."""
    known = continue_from(plan(1250, 9000, 77.0), 1150, 8, 1460)
    assert known is not None and known.committed == 4  # 1150, 1250, 1350, 1450
    np.testing.assert_allclose(known.actions[:, 0], [1.5, 77.0, 77.0, 77.0, 5.5, 6.5, 7.5, 8.5])


def test_a_row_at_the_very_time_of_the_takeover_is_committed() -> None:
    known = continue_from(plan(1150, 9000, 77.0), 1150, 8, 1450)
    assert known is not None and known.committed == 4  # 1150, 1250, 1350, 1450
    np.testing.assert_allclose(known.actions[:, 0], [77.0, 77.0, 77.0, 77.0, 5.5, 6.5, 7.5, 8.5])


def test_a_chunk_that_has_ended_gives_no_continuation() -> None:
    assert continue_from(plan(0, 9000, 1.0), 2000, 8, 2400) is None


def test_the_number_of_committed_rows_is_bounded() -> None:
    known = continue_from(plan(0, 9000, 1.0), 1500, 3, 10**6)
    assert known is not None and known.committed == 3
    with pytest.raises(ValueError, match="0 to T committed rows"):
        Continuation(np.zeros((3, 1)), 4)


@pytest.mark.parametrize("slow", [0, 1])
def test_a_row_is_committed_when_it_is_for_all_groups(slow: int) -> None:
    """A group at half the speed reaches fewer rows before the next chunk takes over."""
    half = PathClock(1000)
    half.rate = 0.5
    clocks = [(np.array([joint]), half if joint == slow else PathClock(0)) for joint in range(2)]
    chunk = Chunk(1000, DT_NS, np.tile(np.arange(10.0)[:, None], 2))
    both = Plan(np.array([5000, 9000]), np.zeros((2, 2)), np.zeros((2, 2)))
    known = continuation(chunk, both, clocks, 1150, 1150, 8, 1450)
    assert known is not None and known.committed == 2, "of 1150, 1250, 1350 and 1450 of the other"
    np.testing.assert_allclose(known.actions[0, [slow, 1 - slow]], [0.75, 1.5])
