# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.core.policy_interface import TaskReaction

PERIOD_NS = 33_333_333


def chunk(i: int, goal: float, noise: float) -> Chunk:
    """Chunk i begins three rows after chunk i - 1. Joint 0 is of an arm, joint 1 of a gripper that jumps."""
    rng = np.random.default_rng(i)
    actions = np.full((31, 2), goal) + rng.normal(0.0, noise, (31, 2))
    actions[:, 1] = i % 2
    return Chunk(3 * i * PERIOD_NS, PERIOD_NS, actions)


def after_task_change(before: int, goals: tuple[float, float]) -> TaskReaction:
    reaction = TaskReaction(np.array([True, False]))
    for i in range(before):
        reaction.add(chunk(i, goals[0], 0.01), "one")
    reaction.add(chunk(before, goals[1], 0.01), "two")
    return reaction


def test_a_policy_that_changes_its_motion_reacts():
    reaction = after_task_change(20, (0.0, 0.3))
    assert reaction.reaction == pytest.approx(0.3, rel=0.05)
    assert not reaction.is_ignored


def test_a_policy_that_continues_as_before_ignores_the_task():
    ignored = [after_task_change(before, (0.0, 0.0)).is_ignored for before in range(15, 35)]
    assert sum(ignored) >= 17  # 5% of the usual differences are above the baseline


def test_with_too_few_chunks_the_task_does_not_count_as_ignored():
    assert not after_task_change(5, (0.0, 0.0)).is_ignored
    assert math.isnan(TaskReaction(np.array([True])).reaction)
    assert not TaskReaction(np.array([True])).is_ignored


def test_chunks_that_do_not_overlap_are_not_compared():
    reaction = TaskReaction(np.array([True, False]))
    reaction.add(chunk(0, 0.0, 0.0), "one")
    reaction.add(chunk(1000, 5.0, 0.0), "two")
    assert math.isnan(reaction.reaction)
