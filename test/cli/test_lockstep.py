# SPDX-License-Identifier: Apache-2.0
"""Judging a policy in lock-step: what it is shown, what is executed, and that a seed is an outcome."""

from collections.abc import Mapping

import numpy as np
import pytest

from dit_policy_ros.cli.lockstep import Trial, run_trials
from dit_policy_ros.sim.robot import HOME, JOINTS
from dit_policy_ros.sim.tasks import demo_tasks, tasks


class Blind:
    """A policy without cameras that moves one joint by a ramp from where it is, whatever it is told."""

    description, device, fps, joint_names = "blind", "cpu", 30.0, JOINTS
    known_tasks: tuple[str, ...] = ()
    image_shapes: Mapping[str, tuple[int, int]] = {}
    state_dim = action_dim = len(JOINTS)
    n_obs_steps, horizon = 2, 9

    def __init__(self, ramp: float) -> None:
        self.ramp = ramp  # [rad per step]
        self.seen: list[tuple[np.ndarray, str]] = []

    def predict(self, images, state, task, noise=None) -> np.ndarray:
        assert images == {} and state.shape == (2, 14) and state.dtype == np.float32
        self.seen.append((state, task))
        chunk = np.repeat(state[-1:], 8, axis=0)
        chunk[:, 5] += self.ramp * np.arange(8)
        return chunk.astype(np.float32)

    def warm_up(self, n: int) -> np.ndarray:
        return np.zeros(n)


def run(policy: Blind, **options) -> list[Trial]:
    return list(run_trials(policy, demo_tasks(), [3, 4], time_limit=0.5, **options))


def test_a_policy_that_stays_put_touches_nothing_and_the_same_seed_repeats_itself() -> None:
    trials = run(Blind(0.0))
    assert [trial.seed for trial in trials] == [3, 3, 4, 4]
    assert not any(trial.touched or trial.wrong for trial in trials)
    assert all(trial.seconds == 0.5 and 0.01 < trial.closest < 0.5 for trial in trials)
    assert trials[0].task != trials[1].task
    again = run(Blind(0.0))
    assert again == trials
    assert trials[0].closest != trials[2].closest, "another seed is another scene"


@pytest.mark.parametrize("execute", [1, 5])
def test_a_chunk_is_executed_from_its_second_row_for_as_long_as_asked(execute: int) -> None:
    policy = Blind(0.01)
    next(run_trials(policy, tasks()[:1], [3], time_limit=0.5, execute=execute))
    assert len(policy.seen) == 15 // execute
    assert np.array_equal(policy.seen[0][0][0], policy.seen[0][0][1]), (
        "before there is a past the present repeats"
    )
    moved = policy.seen[1][0][-1, 5] - policy.seen[0][0][-1, 5]
    assert 0.0 < moved <= 0.01 * execute + 1e-3
    np.testing.assert_allclose(policy.seen[0][0][-1], HOME, atol=0.06)
    assert {task for _, task in policy.seen} == {tasks()[0].instruction}
