# SPDX-License-Identifier: Apache-2.0
"""One evaluation: runs the episodes that are missing, logs each, and writes the results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.evaluation.episodes._load_policy import load_policy_of, weights_hash
from dit_policy_ros.evaluation.episodes._lockstep_episodes import lockstep_episodes
from dit_policy_ros.evaluation.episodes._node_parameters import NodeParameters
from dit_policy_ros.evaluation.episodes._plan import plan_episodes, select_tasks
from dit_policy_ros.evaluation.episodes._ros_episodes import ros_episodes
from dit_policy_ros.evaluation.episodes._settings import EvaluationSettings
from dit_policy_ros.evaluation.episodes._spread import spread_episodes
from dit_policy_ros.evaluation.report import (
    EpisodeFilm,
    EpisodeLog,
    FrameSheet,
    confusion_matrix,
    plot_confusion,
    plot_success,
    results_by_task,
    write_results,
)
from dit_policy_ros.sim.tasks import Outcome


class Evaluation:
    """Use it as a context manager, which closes the episode log: run, then write the results.

    Raises DitPolicyError when the checkpoint, a task or the output folder cannot be used.
    """

    def __init__(self, settings: EvaluationSettings) -> None:
        """Load the policy and open the episode log."""
        settings.asked_parameters()  # a mistake in them is found before torch is imported
        self._settings = settings
        self._policy = load_policy_of(settings) if settings.actor == "policy" else None
        self._tasks = select_tasks(settings, self._policy)
        self._facts = evaluation_facts(settings, self._policy)
        self._log = EpisodeLog(settings.output, self._facts, settings.resume)
        self._node_parameters = NodeParameters(settings.output, settings.resume)
        self._sheet = FrameSheet(settings.output / "rows", delete_old=not settings.resume)
        self._film = EpisodeFilm(
            settings.output / "failures", settings.max_videos, self._sheet, self._log.outcomes
        )
        self._plan = plan_episodes(settings, self._tasks)
        self._missing = [episode for episode in self._plan if episode not in self._log.outcomes]

    def __enter__(self) -> "Evaluation":
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    @property
    def total(self) -> int:
        """Number of planned episodes."""
        return len(self._plan)

    @property
    def resumed(self) -> int:
        """How many of the planned episodes an earlier run has done."""
        return len(self._plan) - len(self._missing)

    @property
    def successes(self) -> int:
        """Episodes that succeeded so far, those of an earlier run included."""
        return sum(outcome.success for outcome in self._log.outcomes.values())

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all planned episodes. Call it after ``run`` has finished."""
        return [self._log.outcomes[episode] for episode in self._plan]

    def run(self) -> Iterator[Outcome]:
        """Run the missing episodes and log each; yields their outcomes.

        Raises:
            SessionError: a node died or refused a request.
            WorkersError: the workers cannot be used, or one was lost.
        """
        settings, missing = self._settings, self._missing
        if settings.workers.are_many:
            weights = self._facts["weights_sha256"]
            add = self._node_parameters.add
            episodes = spread_episodes(settings, weights, missing, self._film, self._sheet, add)
        elif settings.runs_in_lock_step:
            episodes = lockstep_episodes(settings, self._policy, missing, self._film)
        else:
            episodes = ros_episodes(settings, missing, self._film, self._node_parameters.add)
        for seed, outcome in episodes:
            self._log.add(seed, outcome)
            yield outcome

    def write_report(self) -> Path:
        """Write summary.json, the table, the plots and the sheet; returns the path of summary.json."""
        output, outcomes = self._settings.output, self.outcomes
        facts = self._facts | {"videos": [str(path) for path in self._film.paths]}
        facts["node_parameters"] = self._node_parameters.values
        path = write_results(output, outcomes, facts)
        plot_success(results_by_task(outcomes), output / "success.png")
        plot_confusion(confusion_matrix(outcomes), output / "confusion.png")
        self._sheet.write((task.instruction for task in self._tasks), output / "sheet.jpg")
        return path


def evaluation_facts(settings: EvaluationSettings, policy: Policy | None) -> dict[str, Any]:
    """What is evaluated. Episodes are counted together only if these are equal."""
    facts = {
        "actor": settings.actor,
        "checkpoint": None,
        "weights_sha256": None,
        "description": policy.description if policy else None,
        "first_seed": settings.seed,
        "camera_jitter": settings.variation.camera_jitter,
        "lighting": settings.variation.lighting,
        "execute": settings.execute if settings.runs_in_lock_step else None,
        "parameters": settings.asked_parameters(),
        "mode": "lock-step" if settings.runs_in_lock_step else "ros",
    }
    if policy:
        facts["checkpoint"] = str(settings.checkpoint)
        facts["weights_sha256"] = weights_hash(settings.checkpoint)
    return facts
