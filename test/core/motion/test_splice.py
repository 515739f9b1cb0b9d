# SPDX-License-Identifier: Apache-2.0
"""How targets join the active plan."""

import numpy as np
import pytest
from motion_helpers import DT, PERIOD_NS, T0_NS, ensemble_settings, motion_limits

from dit_policy_ros.core.motion import FROZEN_INTERVALS, PLAN_HISTORY, Chunk
from dit_policy_ros.core.motion._coupled_group import BlendSettings, CoupledGroup
from dit_policy_ros.core.motion._splice import Splicer
from dit_policy_ros.core.path import Limiter, Path, PathMotion

MS = 1_000_000


def after(knots: int) -> int:
    return T0_NS + knots * PERIOD_NS


def make(*groups: list[int]) -> Splicer:
    """At rest at 0; from knot 2 on the chunk moves joint 1 by 5 mrad per knot, and joint 2 by -5."""
    joints = sum(len(group) for group in groups)
    blends = BlendSettings(
        fade_knots=0, soft_start=0.0, task_fade=0.0, largest_change=np.full(joints, np.inf)
    )
    made = [CoupledGroup(np.array(each), ensemble_settings(joints), blends, PERIOD_NS) for each in groups]
    rows = np.maximum(np.arange(40.0) - 2.0, 0.0)[:, None] * np.array([0.005, -0.005])[:joints]
    for group in made:
        group.start(np.zeros(len(group.joints)), T0_NS)
        group.add(Chunk(T0_NS, PERIOD_NS, rows), T0_NS)
    limiter = Limiter(motion_limits(joints), DT)
    return Splicer(limiter, made, np.zeros(joints, bool), np.zeros(joints), T0_NS, PERIOD_NS)


@pytest.mark.parametrize(
    ("now_ns", "first"), [(after(0), 3), (after(0) + 1, 4), (after(1) - 1, 4), (after(1), 4)]
)
def test_the_first_free_knot_follows_the_frozen_intervals(now_ns: int, first: int) -> None:
    assert FROZEN_INTERVALS == 2
    assert make([0, 1]).first_free_knot(now_ns) == first


def test_a_plan_has_at_least_one_free_knot() -> None:
    splicer = make([0, 1])
    plan = splicer.splice(T0_NS, 3).plan
    np.testing.assert_array_equal(plan.times_ns, T0_NS + PERIOD_NS * np.arange(4))
    assert not plan.velocities[-1].any()
    with pytest.raises(ValueError, match="no knot between the first free knot 3 and the last knot 2"):
        splicer.splice(T0_NS, 2)


def test_a_plan_begins_with_the_history_and_the_frozen_knots_and_ends_at_the_last_knot() -> None:
    splicer = make([0], [1])
    splicer.commit(splicer.splice(T0_NS, 18))
    before, now_ns = splicer.plan, after(10) + 7 * MS
    plan = splicer.splice(now_ns, 28).plan
    first = 10 - int(np.ceil((PLAN_HISTORY - 0.007) / DT))
    np.testing.assert_array_equal(plan.times_ns, T0_NS + PERIOD_NS * np.arange(first, 29))
    same = 10 + FROZEN_INTERVALS + 1 - first + 1  # now is between two knots
    np.testing.assert_array_equal(plan.positions[:same], before.positions[first : first + same])
    assert splicer.plan is before, "a candidate changes nothing"


def test_what_is_passed_is_no_longer_part_of_the_target() -> None:
    """Joint 2 ends first and waits there."""
    splicer = make([0], [1])
    rows = np.array([[5.0], [4.0], [3.0], [2.0], [1.0]])
    counts: dict[str, np.ndarray] = {}
    motions = [
        PathMotion(
            np.array([[4.0], [3.0], [2.5]]),
            np.full((3, 1), -1.0),
            np.array([1.0, 2.0, 2.5]),
            np.zeros(3, bool),
            counts,
        ),
        PathMotion(np.array([[1.0]]), np.array([[7.0]]), np.array([4.0]), np.zeros(1, bool), counts),
    ]
    target = splicer._joined([Path(rows, np.zeros(1), 0.0, 1.0)] * 2, motions)
    np.testing.assert_array_equal(target.positions, [[4.0, 1.0], [3.0, 1.0], [2.5, 1.0]])
    np.testing.assert_array_equal(target.velocities, [[-1.0, 7.0], [-1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(target.highest, [[4.0, 1.0], [3.0, 1.0], [2.5, 1.0]])
    np.testing.assert_array_equal(target.lowest, np.full((3, 2), 1.0))


def test_the_path_time_of_a_group_that_ends_first_stands_still() -> None:
    splicer = make([0], [1])
    slow = splicer._groups[1]
    slow.start(np.zeros(1), T0_NS)
    slow.add(Chunk(T0_NS, PERIOD_NS, np.zeros((8, 2))), T0_NS)
    splice = splicer.splice(T0_NS, 18)
    first, second = splice.path_ns
    np.testing.assert_array_equal(first[:5], after(2) + PERIOD_NS * np.arange(5))
    np.testing.assert_array_equal(second, np.minimum(after(2) + PERIOD_NS * np.arange(len(second)), after(7)))
    assert len(first) == len(second) == 17
