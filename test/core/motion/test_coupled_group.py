# SPDX-License-Identifier: Apache-2.0
"""How the chunks of coupled joints become the target of the next plan."""

import numpy as np
import pytest
from motion_helpers import PERIOD_NS, T0_NS, ensemble_settings

from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.core.motion._coupled_group import BlendSettings, CoupledGroup

JOINTS = np.arange(2)
ANY = np.full(2, np.inf)  # (A,) every change is the same motion


def make(fade_knots: int = 4, soft_start: float = 0.0, task_fade: float = 0.0) -> CoupledGroup:
    group = CoupledGroup(
        JOINTS, ensemble_settings(2), BlendSettings(fade_knots, soft_start, task_fade, ANY), PERIOD_NS
    )
    group.start(np.zeros(2), T0_NS)
    return group


def chunk(value: float, rows: int, stamp_ns: int = T0_NS) -> Chunk:
    return Chunk(stamp_ns, PERIOD_NS, np.full((rows, 2), value))


def after(knots: int) -> int:
    return T0_NS + knots * PERIOD_NS


@pytest.mark.parametrize(("known", "faded"), [(2, 2), (4, 4), (9, 4), (0, 0)])
def test_a_new_target_is_faded_in_over_the_fade_knots_as_far_as_the_former_one_is_known(known, faded) -> None:
    group = make(fade_knots=4)
    group.target = chunk(1.0, known, after(6)) if known else chunk(1.0, 1, after(2))
    group.add(chunk(0.0, 40), after(6))
    rows = group.next_target(after(5), np.zeros(2), 10).rows
    assert rows.stamp_ns == after(6)
    expected = np.zeros(len(rows.actions))
    expected[:faded] = 1.0 - np.arange(1, faded + 1) / 5.0
    np.testing.assert_allclose(rows.actions, np.stack([expected, expected], axis=1))


@pytest.mark.parametrize(("rows", "knots", "expected"), [(40, 10, 30), (12, 10, 6), (7, 10, 1)])
def test_a_target_reaches_beyond_the_plan_but_not_beyond_the_chunk(rows, knots, expected) -> None:
    """The rows of the chunk after the frozen knot 5, but at most 20 more than the plan has knots."""
    group = make()
    group.add(Chunk(T0_NS, PERIOD_NS, np.arange(float(rows))[:, None] * np.ones(2)), after(5))
    target = group.next_target(after(5), np.zeros(2), knots)
    assert len(target.rows.actions) == expected
    np.testing.assert_array_equal(
        target.rows.actions[:, 0], np.minimum(6.0 + np.arange(expected), rows - 1.0)
    )
    assert (target.max_rate, target.delay) == (1.0, 0.0)


def test_a_slower_group_has_closer_rows_at_the_same_places() -> None:
    group = make()
    group.set_velocity_scale(0.5)
    group.start(np.zeros(2), T0_NS)
    group.add(Chunk(T0_NS, PERIOD_NS, np.arange(40.0)[:, None] * np.ones(2)), after(4))
    target = group.next_target(after(4), np.zeros(2), 10)  # two knots along the path
    np.testing.assert_allclose(target.rows.actions[:10, 0], 2.0 + 0.5 * np.arange(1, 11), atol=1e-6)
    assert target.max_rate == pytest.approx(1.0)


def test_a_speed_can_be_set_before_the_start() -> None:
    group = CoupledGroup(JOINTS, ensemble_settings(2), BlendSettings(0, 0.0, 0.0, ANY), PERIOD_NS)
    group.set_velocity_scale(0.5)
    group.start(np.zeros(2), T0_NS)
    assert group.clock.at(np.array([after(4)]))[0] == pytest.approx(after(2), abs=2)


def test_a_scale_that_is_lowered_while_moving_makes_the_joints_slow_down() -> None:
    group = make()
    group.add(chunk(0.0, 40), after(2))
    group.commit(chunk(0.0, 40), T0_NS + PERIOD_NS * np.arange(12), T0_NS + PERIOD_NS * np.arange(12))
    group.set_velocity_scale(0.25)
    target = group.next_target(after(5), np.zeros(2), 10)
    assert target.rows.period_ns == PERIOD_NS and target.max_rate == pytest.approx(0.25)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_delay_is_what_a_group_has_lost_since_the_chunk_began(scale: float) -> None:
    group = make()
    group.set_velocity_scale(scale)
    group.start(np.zeros(2), T0_NS)
    group.add(chunk(0.0, 60), after(2))
    lost = 3 * PERIOD_NS * scale  # the joints stand for three knots
    steps = np.arange(12) * PERIOD_NS * scale
    path_ns = T0_NS + np.rint(np.minimum(steps, np.maximum(steps - lost, steps[2]))).astype(np.int64)
    group.commit(chunk(0.0, 60), T0_NS + PERIOD_NS * np.arange(12), path_ns)
    assert group.next_target(after(10), np.zeros(2), 10).delay == pytest.approx(3.0, abs=1e-6)


def test_a_chunk_counts_as_carried_out_when_less_than_a_row_is_left() -> None:
    group = make()
    group.add(chunk(0.0, 10), after(0))
    assert not group.has_reached_end(after(8)) and group.has_reached_end(after(8) + 1)
    assert group.reaches(chunk(0.0, 10), after(9)) and not group.reaches(chunk(0.0, 10), after(9) + 1)


def test_the_former_task_is_faded_out_only_if_the_arms_move() -> None:
    for moving, first in ((True, 1.0), (False, 0.0)):
        group = make(fade_knots=0, task_fade=20 * PERIOD_NS * 1e-9)
        group.target = chunk(1.0, 60)
        group.change_task(moving)
        assert len(group.ensembler) == 0
        group.add(chunk(0.0, 60), after(5))
        rows = group.next_target(after(5), np.zeros(2), 30).rows.actions
        np.testing.assert_allclose(rows[[0, 20], 0], [first, 0.0], atol=1e-12)
        again = group.next_target(after(15), np.zeros(2), 30).rows.actions
        np.testing.assert_allclose(again[0, 0], first / 2.0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "transition"),
    [
        ([0.0, 0.0], 0),
        ([0.05, 0.05], 0),  # later on the same path
        ([-0.3, -0.3], 0),  # earlier, before its first row
        ([0.05, -0.05], 6),  # away from it
        ([0.008, -0.008], 0),  # but so little that it does not matter
        ([0.0, 0.03], 6),
    ],
)
def test_a_target_away_from_the_former_path_is_another_motion(change, transition) -> None:
    blends = BlendSettings(4, 0.0, 0.0, largest_change=np.full(2, 0.01))
    group = CoupledGroup(JOINTS, ensemble_settings(2), blends, PERIOD_NS)
    group.start(np.zeros(2), T0_NS)
    line = 0.01 * np.arange(40.0)[:, None] * np.ones(2)  # (T, 2)
    group.target = Chunk(after(6), PERIOD_NS, line)
    group.add(Chunk(after(6), PERIOD_NS, line + change), after(6))
    assert group.next_target(after(5), np.zeros(2), 10).transition == transition
