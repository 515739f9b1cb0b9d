# SPDX-License-Identifier: Apache-2.0
"""Which tasks are evaluated, each in which scenes."""

from collections.abc import Sequence

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.evaluation.episodes._settings import EvaluationSettings
from dit_policy_ros.sim.tasks import Task, find_task, suite

type EpisodePlan = Sequence[tuple[Task, int]]
"""The task of each episode and the seed of its scene."""


def select_tasks(settings: EvaluationSettings, policy: Policy | None) -> tuple[Task, ...]:
    """The tasks that were asked for; by default those that the policy knows, or all for another actor.

    Raises:
        TaskError: the suite has no such task.
        DitPolicyError: the policy knows no task of the suite.
    """
    if settings.tasks:
        return tuple(find_task(instruction) for instruction in settings.tasks)
    if policy is None:
        return suite()
    known = tuple(task for task in suite() if task.instruction in policy.known_tasks)
    if not known:
        raise DitPolicyError(
            f"{settings.checkpoint} knows no task of this scene; it knows {', '.join(policy.known_tasks)}. "
            f"Name tasks with --task; dit_policy evaluate --list-tasks lists them"
        )
    return known


def plan_episodes(settings: EvaluationSettings, tasks: Sequence[Task]) -> EpisodePlan:
    """Every task ``settings.episodes`` times.

    In lock-step all tasks share the same scenes, so that only the instruction differs. With the nodes each
    episode has a scene of its own.
    """
    if settings.runs_in_lock_step:
        seeds = range(settings.seed, settings.seed + settings.episodes)
        return [(task, seed) for seed in seeds for task in tasks]
    rounds = [task for _ in range(settings.episodes) for task in tasks]
    return [(task, settings.seed + number) for number, task in enumerate(rounds)]
