# SPDX-License-Identifier: Apache-2.0
"""Which frames a batch is made of, and which episodes training never sees.

Shapes: M frames of all episodes, K frames that may be drawn, B frames of a batch.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.training.errors import TrainingError


class FrameSampler:
    """Endless batches of frame numbers, the same for the same seed.

    Within a task, or over all frames without tasks, every frame comes once before any comes again. A batch
    holds of every task its share, rounded up or down at random.
    Several processes draw the same batches and take their own part: together they see each frame once.
    """

    def __init__(
        self,
        frames: NDArray[np.int64],
        batch_size: int,
        seed: int,
        groups: NDArray[np.int64] | None = None,
        weights: Mapping[int, float] | None = None,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        """Prepare to draw.

        Args:
            frames: (K,) what may be drawn.
            batch_size: B, of each process.
            seed: of the order.
            groups: (K,) the task of each frame; None draws all frames alike.
            weights: how often a task is drawn relative to the others; 1 where it is not named.
            rank: of this process, from 0.
            processes: that draw together.

        Raises:
            TrainingError: nothing can be drawn.
        """
        if not len(frames):
            raise TrainingError("no frame is left to train on; look at tasks, validation and excluded frames")
        self.batch_size, self.rank, self.processes = batch_size, rank, processes
        groups = np.zeros(len(frames), np.int64) if groups is None else groups
        names = np.unique(groups)
        shares = np.array([(weights or {}).get(int(name), 1.0) for name in names])  # (tasks,)
        if not shares.sum() > 0:
            raise TrainingError("task_weights: expected at least one task with a weight above 0")
        self._shares = shares / shares.sum()
        self._orders = [
            _shuffled(frames[groups == name], np.random.default_rng((seed, 1, int(name)))) for name in names
        ]
        self._rng = np.random.default_rng((seed, 0))
        self.drawn = 0

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return self

    def __next__(self) -> NDArray[np.int64]:
        """The next batch (B,)."""
        total = self.batch_size * self.processes
        # Systematic sampling: equally spaced points on the tasks' shares, their offset random.
        points = (self._rng.random() + np.arange(total)) / total  # (B,) in 0 to 1
        edges = np.cumsum(self._shares)
        which = np.minimum(np.searchsorted(edges, points, side="right"), len(edges) - 1)
        frames = np.array([next(self._orders[task]) for task in which])
        # Shuffled, so that each process's part is a fair one.
        mine = self._rng.permutation(frames)[self.rank * self.batch_size :][: self.batch_size]
        self.drawn += 1
        return mine

    def skip(self, batches: int) -> None:
        """Go on where another sampler of the same data and seed is after ``batches`` batches."""
        for _ in range(batches):
            next(self)


def _shuffled(frames: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(frames)


def trainable(data: Demonstrations, drop_last: int) -> NDArray[np.bool_]:
    """Which frames (M,) may begin an example: not the last ``drop_last`` of an episode, as in LeRobot."""
    _, last = data.episode_bounds()
    return np.arange(len(last)) + drop_last <= last


def unflagged(data: Demonstrations, steps: int, image_steps: int) -> NDArray[np.bool_]:
    """Which frames (M,) observe nothing flagged: ``steps`` of states, ``image_steps`` of them with images."""
    first, _ = data.episode_bounds()
    good = np.ones(len(first), bool)
    for flagged, count in ((data.flagged, steps), (data.flagged_images, image_steps)):
        if flagged is not None:
            observed = np.arange(len(first))[:, None] - np.arange(count)  # (M, count)
            good &= ~flagged[np.maximum(observed, first[:, None])].any(axis=1)
    return good


def held_out(data: Demonstrations, share: float, seed: int) -> NDArray[np.bool_]:
    """Which frames (M,) are kept for validation: whole episodes, a ``share`` of each task's.

    A task of several episodes keeps at least one on either side; a task's only episode is trained on.
    """
    mask = np.zeros(len(data.state), bool)
    if share == 0:
        return mask
    rng = np.random.default_rng((seed, 2))
    starts = np.flatnonzero(np.diff(data.episode_index, prepend=-1))
    episodes, tasks = data.episode_index[starts], data.task_index[starts]
    for task in np.unique(tasks):
        candidates = rng.permutation(episodes[tasks == task])
        count = min(max(1, round(share * len(candidates))), len(candidates) - 1)
        mask |= np.isin(data.episode_index, candidates[:count])
    return mask
