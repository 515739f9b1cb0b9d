# SPDX-License-Identifier: Apache-2.0
"""Draws the frames of each batch.

Shapes: K frames that may be drawn, B frames of a batch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of each batch a process takes: ``rank`` of ``world_size`` processes, counted from 0."""

    rank: int = 0
    world_size: int = 1


SINGLE_PROCESS = Shard()


class FrameSampler:
    """Endless batches of frame numbers; the same seed gives the same batches.

    Within a task (or over all frames without tasks) every frame is drawn once before any is drawn again. Each
    batch holds every task's share, rounded up or down at random.
    Several processes draw the same batches and each takes its own part: together they see each frame once.
    """

    def __init__(
        self,
        frames: NDArray[np.int64],
        batch_size: int,
        seed: int,
        tasks: NDArray[np.int64] | None = None,
        task_weights: Mapping[int, float] | None = None,
        shard: Shard = SINGLE_PROCESS,
    ) -> None:
        """Prepare to draw.

        Args:
            frames: (K,) the frames that may be drawn.
            batch_size: B, of each process.
            seed: of the order.
            tasks: (K,) the task of each frame; None draws all frames alike.
            task_weights: how often a task is drawn relative to the others; 1 for tasks that are not named.
            shard: this process's part of each batch.

        Raises:
            TrainingError: nothing can be drawn.
        """
        if not len(frames):
            raise TrainingError("no frame is left to train on; look at tasks, validation and excluded frames")
        self._batch_size, self._shard = batch_size, shard
        tasks = np.zeros(len(frames), np.int64) if tasks is None else tasks
        numbers = np.unique(tasks)
        shares = np.array([(task_weights or {}).get(int(number), 1.0) for number in numbers])  # (tasks,)
        if not shares.sum() > 0:
            raise TrainingError("task_weights: expected at least one task with a weight above 0")
        self._shares = shares / shares.sum()
        is_few = frames.max() <= np.iinfo(np.uint32).max
        compact = frames.astype(np.uint32) if is_few else frames  # half of the memory, the same order
        self._orders = [
            _shuffled(compact[tasks == number], np.random.default_rng((seed, 1, int(number))))
            for number in numbers
        ]
        self._rng = np.random.default_rng((seed, 0))

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return self

    def __next__(self) -> NDArray[np.int64]:
        """The next batch (B,)."""
        total = self._batch_size * self._shard.world_size
        # Systematic sampling: equally spaced points over the tasks' shares, with a random offset.
        points = (self._rng.random() + np.arange(total)) / total  # (total,) in 0 to 1
        edges = np.cumsum(self._shares)
        chosen = np.minimum(np.searchsorted(edges, points, side="right"), len(edges) - 1)  # (total,)
        frames = np.array([next(self._orders[task]) for task in chosen], np.int64)
        # Shuffled, so that each process gets a fair part.
        return self._rng.permutation(frames)[self._shard.rank * self._batch_size :][: self._batch_size]

    def skip(self, batches: int) -> None:
        """Draw ``batches`` batches and drop them, to continue where another sampler stopped."""
        for _ in range(batches):
            next(self)


def intervention_groups(
    tasks: NDArray[np.int64] | None,
    corrected: NDArray[np.bool_],
    weight: float,
    task_weights: Mapping[int, float],
) -> tuple[NDArray[np.int64], dict[int, float]]:
    """Groups of frames (K,) and their weights: a sampler draws corrections ``weight`` times as often then.

    Each task keeps its share of a batch; without ``tasks`` all frames are one task.

    Args:
        tasks: (K,) the task of each frame; None if tasks are not balanced.
        corrected: bool (K,), frames in which a person corrected a policy.
        weight: how often such a frame is drawn, relative to another one of its task.
        task_weights: as of the sampler.
    """
    numbers = np.zeros(len(corrected), np.int64) if tasks is None else tasks  # (K,)
    groups, weights = 2 * numbers + corrected, dict[int, float]()
    for task in np.unique(numbers):
        count = int((numbers == task).sum())
        corrections = weight * int(corrected[numbers == task].sum())
        others = count - int(corrected[numbers == task].sum())
        share = task_weights.get(int(task), 1.0) / (corrections + others)
        weights |= {2 * int(task): share * others, 2 * int(task) + 1: share * corrections}
    return groups, weights


def _shuffled(frames: NDArray[np.integer], rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(frames)
