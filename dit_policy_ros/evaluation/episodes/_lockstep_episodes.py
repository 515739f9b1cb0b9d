# SPDX-License-Identifier: Apache-2.0
"""Evaluation episodes in lock-step: physics, cameras and the actor take turns. No clock and no ROS.

The seed alone decides what happens.
"""

from collections.abc import Iterator

import numpy as np

from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.evaluation.episodes._plan import EpisodePlan
from dit_policy_ros.evaluation.episodes._policy_actor import DEFAULT_IMAGE_SIZE, PolicyActor, image_size
from dit_policy_ros.evaluation.episodes._settings import EvaluationSettings
from dit_policy_ros.evaluation.report import EpisodeFilm
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import FPS, BimanualSim
from dit_policy_ros.sim.tasks import Act, Outcome, Task, run_trial, suite

_ARM_JITTER = 0.05  # [rad] of the initial pose


def lockstep_episodes(
    settings: EvaluationSettings, policy: Policy | None, plan: EpisodePlan, film: EpisodeFilm
) -> Iterator[tuple[int, Outcome]]:
    """Run the planned episodes; yields the seed and outcome of each. policy: None for other actors."""
    height, width = image_size(policy) if policy else DEFAULT_IMAGE_SIZE
    fps = (policy.fps if policy else None) or FPS
    with BimanualSim(settings.seed, width=width, height=height, variation=settings.variation) as sim:
        for task, seed in plan:
            sim.reset(seed=seed, arm_jitter=_ARM_JITTER)
            if policy is not None:
                policy.seed_sampling(seed)
            film.begin()
            act = film.filming(_actor(settings, policy, sim, task, seed))
            outcome = run_trial(sim, task, act, others=suite(), fps=fps)
            film.end(outcome, seed)
            yield seed, outcome


def _actor(
    settings: EvaluationSettings, policy: Policy | None, sim: BimanualSim, task: Task, seed: int
) -> Act:
    if policy is not None:
        return PolicyActor(policy, task.instruction, settings.execute)
    if settings.actor == "operator":
        operator = Operator(np.random.default_rng(seed))
        operator.begin(sim, task)
        return operator.act
    pose = sim.command  # (14,)
    return lambda sim: pose
