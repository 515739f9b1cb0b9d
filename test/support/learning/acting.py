# SPDX-License-Identifier: Apache-2.0
"""Policies that succeed or fail in one known way, and recordings to judge them by.

The world: a point is somewhere in a square, each task has a goal, and the demonstrator goes there straight.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Sample

TASKS = ("go left", "go right", "go up")
GOALS = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
CHUNK, SPEED = 12, 0.15
Act = Callable[[NDArray, int, int], NDArray]  # position (2,), instruction, dominant task -> chunk (T, 2)


def walk(position: NDArray, goal: NDArray) -> NDArray:
    """The chunk (T, 2) that goes straight from a position (2,) to a goal (2,) and stays there."""
    offset = goal - position
    length = max(float(np.linalg.norm(offset)), 1e-9)
    moved = np.minimum(SPEED * np.arange(1, CHUNK + 1), length)  # (T,)
    return position + moved[:, None] * offset / length


def good(position: NDArray, task: int, dominant: int) -> NDArray:
    return walk(position, GOALS[task])


def collapsed(position: NDArray, task: int, dominant: int) -> NDArray:
    """Predicts the average of all goals, whatever it observes."""
    return np.tile(GOALS.mean(0), (CHUNK, 1))


def idle(position: NDArray, task: int, dominant: int) -> NDArray:
    """Holds the pose."""
    return np.tile(position, (CHUNK, 1))


def blind(position: NDArray, task: int, dominant: int) -> NDArray:
    """Does the dominant task, whatever the instruction."""
    return walk(position, GOALS[dominant])


def confused(position: NDArray, task: int, dominant: int) -> NDArray:
    """Follows instructions, but takes each for the next one."""
    return walk(position, GOALS[(task + 1) % len(GOALS)])


@dataclass
class ActingPolicy:
    """The part of ``core.policy.Policy`` that the diagnostics use.

    at_rest: standard deviation of its error at the joint that rests.
    """

    act: Act
    noise: float = 0.02
    at_rest: float = 0.0
    known_tasks: tuple[str, ...] = TASKS
    action_names: tuple[str, ...] = ("x", "y", "rests")
    instructions: list[str] = field(default_factory=list)

    def predict(self, images, state, task, noise=None) -> NDArray[np.float32]:
        self.instructions.append(task)
        drawn = self.noise * torch.randn(CHUNK, 2).numpy()
        position = state[-1, :2]
        known = TASKS.index(task) if task in TASKS else 0
        moves = self.act(position, known, 0) + drawn
        resting = self.at_rest * torch.randn(CHUNK, 1).numpy()  # (T, 1)
        return np.concatenate((moves, resting), axis=1).astype(np.float32)


class Recordings:
    """Replaces ``data.dataset.SampleReader``: demonstrations of each task in the given numbers, no images.

    at_rest: standard deviation of the actions of the joint that rests.
    """

    def __init__(
        self,
        per_task: tuple[int, ...] = (60, 60, 60),
        length: int = 20,
        seed: int = 0,
        at_rest: float = 0.0,
        root: Path = Path("recordings"),
    ) -> None:
        rng = np.random.default_rng(seed)
        self.root, self.tasks = root, TASKS
        episodes = [task for task, count in enumerate(per_task) for _ in range(count)]
        rng.shuffle(episodes)
        self.task_index = np.repeat(episodes, length)
        self.episode_index = np.repeat(np.arange(len(episodes)), length)
        self.remaining = np.tile(np.arange(length, 0, -1), len(episodes))  # frames until the episode's end
        starts = rng.uniform(-1.0, 1.0, (len(episodes), 2))
        self.position = np.concatenate(
            [self._episode(start, GOALS[task], length) for start, task in zip(starts, episodes, strict=True)]
        )  # (M, 2)
        targets = [walk(p, GOALS[task])[0] for p, task in zip(self.position, self.task_index, strict=True)]
        resting = at_rest * rng.standard_normal((len(targets), 1))  # (M, 1)
        self.action = np.concatenate((targets, resting), axis=1).astype(np.float32)

    @staticmethod
    def _episode(start: NDArray, goal: NDArray, length: int) -> NDArray:
        path = [start]
        while len(path) < length:
            path.append(walk(path[-1], goal)[0])
        return np.array(path)

    def read(self, frame: int) -> Sample:
        chunk = walk(self.position[frame], GOALS[self.task_index[frame]])
        return Sample(
            frame=frame,
            images={},
            state=self.position[frame][None].astype(np.float32),
            action=np.concatenate((chunk, np.zeros((CHUNK, 1))), axis=1).astype(np.float32),
            valid=np.arange(CHUNK) < self.remaining[frame],
        )
