# SPDX-License-Identifier: Apache-2.0
"""Evaluation episodes on several workers, each of which runs a few at a time as one alone would.

In lock-step the outcomes are those of a single process: the seed alone decides them. Workers send back what
they found, so their disks need not be shared.
"""

import functools
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.evaluation.episodes._load_policy import load_policy_of, weights_hash
from dit_policy_ros.evaluation.episodes._lockstep_episodes import lockstep_episodes
from dit_policy_ros.evaluation.episodes._plan import EpisodePlan
from dit_policy_ros.evaluation.episodes._ros_episodes import ros_episodes
from dit_policy_ros.evaluation.episodes._settings import EvaluationSettings
from dit_policy_ros.evaluation.report import EpisodeFilm, FrameSheet
from dit_policy_ros.evaluation.workers import Workers, WorkersError, run_shards
from dit_policy_ros.sim.tasks import Outcome, Task

_MAX_EPISODES = 10  # of a shard; a worker that is lost loses no more
_SHARDS_PER_WORKER = 4  # so that no worker waits long for the last one
_MANY = 32  # workers that a cluster is taken to have


@dataclass(frozen=True, slots=True)
class Shard:
    """A few episodes of an evaluation, and the hash of the weights that it is about."""

    settings: EvaluationSettings
    weights_sha256: str | None
    plan: EpisodePlan


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What a worker found.

    Attributes:
        outcomes: seed and outcome of each episode.
        videos: task, seed and content of each MP4 that was kept.
        rows: by task, the seed of a success and a row of its frames, as PNG.
        parameters: of the policy node; None in lock-step.
    """

    outcomes: list[tuple[int, Outcome]]
    videos: list[tuple[Task, int, bytes]]
    rows: dict[str, tuple[int, bytes]]
    parameters: dict[str, Any] | None


def spread_episodes(
    settings: EvaluationSettings,
    weights_sha256: str | None,
    plan: EpisodePlan,
    film: EpisodeFilm,
    sheet: FrameSheet,
    on_parameters: Callable[[Mapping[str, Any]], None],
) -> Iterator[tuple[int, Outcome]]:
    """Run the planned episodes on ``settings.workers``; yields the seed and outcome of each, in any order.

    Args:
        settings: of the evaluation.
        weights_sha256: of the policy; None without one.
        plan: the episodes.
        film: gets the workers' videos.
        sheet: gets the workers' rows of frames.
        on_parameters: as in ``ros_episodes``.

    Raises:
        WorkersError: the workers cannot be used, one was lost, or it has another checkpoint.
        DitPolicyError: what an episode raises.
    """
    if settings.checkpoint.exists():
        settings = replace(settings, checkpoint=settings.checkpoint.absolute())
    settings = replace(settings, output=settings.output.absolute())
    count = _MANY if settings.workers.ray else settings.workers.count
    size = max(1, min(_MAX_EPISODES, len(plan) // (_SHARDS_PER_WORKER * count)))
    shards = [
        Shard(settings, weights_sha256, plan[first : first + size]) for first in range(0, len(plan), size)
    ]
    for _, found in run_shards(run_shard, shards, settings.workers):
        for task, seed, video in found.videos:
            film.adopt(task, seed, video)
        for instruction, (seed, row) in found.rows.items():
            sheet.adopt(instruction, seed, row)
        if found.parameters is not None:
            on_parameters(found.parameters)
        yield from found.outcomes
    if settings.runs_in_lock_step:
        shutil.rmtree(settings.output / "workers", ignore_errors=True)  # also what an interrupted run left


def run_shard(shard: Shard) -> ShardResult:
    """Run a shard's episodes in this process; see ``spread_episodes``."""
    task, seed = shard.plan[0]
    place = shard.settings.output / "workers" / f"{task.instruction.replace(' ', '_')}_seed_{seed}"
    shutil.rmtree(place, ignore_errors=True)  # of an interrupted run
    settings = replace(shard.settings, output=place, resume=False, workers=Workers())
    sheet = FrameSheet(place / "rows", delete_old=False)
    film = EpisodeFilm(place / "failures", settings.max_videos, sheet)
    parameters: dict[str, Any] = {}
    if settings.actor == "policy":
        _check_weights(settings, shard.weights_sha256)
    if settings.runs_in_lock_step:
        policy = (
            _policy(replace(settings, output=shard.settings.output)) if settings.actor == "policy" else None
        )
        outcomes = list(lockstep_episodes(settings, policy, shard.plan, film))
    else:
        outcomes = list(ros_episodes(settings, shard.plan, film, parameters.update))
    videos = [(*each, path.read_bytes()) for each in shard.plan if (path := film.video_of(*each))]
    rows = {task.instruction: sheet.row_of(task.instruction) for task, _ in shard.plan}
    for folder in (place / "rows", place / "failures"):
        shutil.rmtree(folder, ignore_errors=True)
    if settings.runs_in_lock_step:
        shutil.rmtree(place, ignore_errors=True)  # of nodes, the logs stay
    found = {instruction: row for instruction, row in rows.items() if row is not None}
    return ShardResult(outcomes, videos, found, parameters or None)


@functools.lru_cache(maxsize=1)
def _policy(settings: EvaluationSettings) -> Policy:
    """The policy, loaded once per process: the settings of all shards of an evaluation are equal."""
    return load_policy_of(settings)


def _check_weights(settings: EvaluationSettings, expected: str | None) -> None:
    found = weights_hash(settings.checkpoint)
    if found != expected:
        raise WorkersError(
            f"machine {socket.gethostname()} has other weights in {settings.checkpoint} ({found[:12]}) "
            f"than the machine that started the evaluation ({str(expected)[:12]}). Copy the checkpoint to "
            "each machine"
        )
