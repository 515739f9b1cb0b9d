# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.core.policy_interface import TaskReaction

PERIOD_NS = 33_333_333


def chunk(i: int, goal: float, noise: float) -> Chunk:
    """Three rows after the one before; joint 0 is an arm's, joint 1 a gripper's that snaps."""
    rng = np.random.default_rng(i)
    actions = np.full((31, 2), goal) + rng.normal(0.0, noise, (31, 2))
    actions[:, 1] = i % 2
    return Chunk(3 * i * PERIOD_NS, PERIOD_NS, actions)


def told(before: int, goals: tuple[float, float]) -> TaskReaction:
    reaction = TaskReaction(np.array([True, False]))
    for i in range(before):
        reaction.add(chunk(i, goals[0], 0.01), "one")
    reaction.add(chunk(before, goals[1], 0.01), "two")
    return reaction


def test_a_policy_that_turns_round_reacts():
    reaction = told(20, (0.0, 0.3))
    assert reaction.reaction == pytest.approx(0.3, rel=0.05)
    assert not reaction.is_ignored


def test_a_policy_that_goes_on_as_before_ignores_the_task():
    ignored = [told(before, (0.0, 0.0)).is_ignored for before in range(15, 35)]
    assert sum(ignored) >= 17  # by definition 5% of the usual differences are larger


def test_without_enough_chunks_before_nothing_is_said():
    assert not told(5, (0.0, 0.0)).is_ignored
    assert math.isnan(TaskReaction(np.array([True])).reaction)
    assert not TaskReaction(np.array([True])).is_ignored


def test_chunks_that_do_not_overlap_are_not_compared():
    reaction = TaskReaction(np.array([True, False]))
    reaction.add(chunk(0, 0.0, 0.0), "one")
    reaction.add(chunk(1000, 5.0, 0.0), "two")
    assert math.isnan(reaction.reaction)
