# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from dit_policy_ros.core.motion import Chunk, Continuation, Plan, continuation

DT_NS = 100
CHUNK = Chunk(1000, DT_NS, np.arange(10.0)[:, None])  # 1000..1900 ns, one more per step


def plan(first_ns: int, last_ns: int, value: float) -> Plan:
    positions = np.full((2, 1), value)
    return Plan(np.array([first_ns, last_ns]), positions, np.zeros((2, 1)))


def test_rows_are_interpolated_from_the_chunk_and_nan_after_its_end() -> None:
    known = continuation(CHUNK, plan(5000, 6000, 0.0), 1450, horizon=8, committed_until_ns=1449)
    assert known is not None and known.committed == 0
    np.testing.assert_allclose(known.actions[:5, 0], [4.5, 5.5, 6.5, 7.5, 8.5])
    assert np.isnan(known.actions[5:]).all()


def test_committed_rows_come_from_the_plan() -> None:
    """The plan differs from the chunk by ensembling, splicing and limits."""
    known = continuation(CHUNK, plan(1250, 9000, 77.0), 1150, horizon=8, committed_until_ns=1460)
    assert known is not None and known.committed == 4  # 1150, 1250, 1350, 1450
    np.testing.assert_allclose(known.actions[:, 0], [1.5, 77.0, 77.0, 77.0, 5.5, 6.5, 7.5, 8.5])


def test_a_chunk_that_has_ended_gives_no_continuation() -> None:
    assert continuation(CHUNK, plan(0, 9000, 1.0), 2000, horizon=8, committed_until_ns=2400) is None


def test_the_number_of_committed_rows_is_bounded() -> None:
    known = continuation(CHUNK, plan(0, 9000, 1.0), 1500, horizon=3, committed_until_ns=10**6)
    assert known is not None and known.committed == 3
    with pytest.raises(ValueError, match="0 to T committed rows"):
        Continuation(np.zeros((3, 1)), 4)
