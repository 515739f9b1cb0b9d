# SPDX-License-Identifier: Apache-2.0
"""Asks a policy what it would do in recorded situations, under the right instruction and under all others."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.data.dataset import SampleReader
from dit_policy_ros.training.diagnostics._diagnosis import Evidence


def open_samples(dataset: str, policy: Policy) -> SampleReader:
    """A dataset as this policy reads it.

    Raises:
        DatasetError: it cannot be read, or its cameras, joints or rate are not the policy's.
    """
    reader = SampleReader(
        dataset, tuple(policy.image_shapes), policy.n_obs_steps, policy.horizon - policy.n_obs_steps + 1
    )
    pairs = [
        ("entries of the state", policy.state_dim, reader.state_dim),
        ("entries of the action", policy.action_dim, reader.action_dim),
        *(
            (f"pixels of camera {c}", tuple(s), reader.image_shapes[c])
            for c, s in policy.image_shapes.items()
        ),
    ]
    if policy.fps is not None:
        pairs.append(("frames per second", policy.fps, reader.fps))
    wrong = [f"{what}: the policy expects {want}, got {got}" for what, want, got in pairs if want != got]
    if wrong:
        raise DatasetError(f"dataset {reader.root} does not fit the policy: {'; '.join(wrong)}")
    return reader


def choose_frames(task_index: NDArray[np.int64], per_task: int) -> NDArray[np.int64]:
    """At most ``per_task`` frames of every task, evenly spread over all that it has, in order."""
    chosen: list[NDArray[np.int64]] = []
    for task in np.unique(task_index):
        frames = np.flatnonzero(task_index == task)
        # The middles of equal parts: the first and the last frame of a dataset are rarely typical.
        places = (np.arange(min(per_task, len(frames))) + 0.5) * len(frames) / min(per_task, len(frames))
        chosen.append(frames[places.astype(np.int64)])
    return np.sort(np.concatenate(chosen))


def count_demonstrations(reader: SampleReader) -> dict[str, int]:
    """How often each task was demonstrated; an episode of several instructions in turn holds several."""
    changes = np.flatnonzero(
        np.diff(reader.task_index, prepend=-1) | np.diff(reader.episode_index, prepend=-1)
    )
    counts = Counter(reader.tasks[task] for task in reader.task_index[changes])
    return {task: counts[task] for task in reader.tasks}


def gather(
    policy: Policy,
    reader: SampleReader,
    per_task: int,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Evidence:
    """Predict under every known instruction at frames of every task.

    At one frame all predictions share their randomness, so that they differ by the instruction alone; torch's
    global generator is left as it was.

    Args:
        policy: under test.
        reader: of the demonstrations; from ``open_samples``.
        per_task: observations per task.
        seed: of the sampling.
        report: called with the predictions made so far and their number.

    Raises:
        DatasetError: a frame cannot be read, or no action ever changes.
    """
    scale = reader.action.std(axis=0).astype(np.float64)  # (A,)
    if scale.max(initial=0.0) <= 1e-6:
        raise DatasetError(f"dataset {reader.root}: no action ever changes; there is nothing to compare with")
    tasks = tuple(dict.fromkeys((*reader.tasks, *policy.known_tasks)))
    frames = choose_frames(reader.task_index, per_task)
    predicted, samples = [], []
    with torch.random.fork_rng():
        for frame in frames:
            sample = reader.read(int(frame))
            chunks = []
            for task in tasks:
                torch.manual_seed(seed + int(frame))
                chunks.append(policy.predict(sample.images, sample.state, task))
                report(len(samples) * len(tasks) + len(chunks), len(frames) * len(tasks))
            predicted.append(np.stack(chunks))
            samples.append(sample)
    counts = np.bincount(reader.task_index, minlength=len(reader.tasks))
    return Evidence(
        tasks=tasks,
        right=reader.task_index[frames],
        predicted=np.stack(predicted).astype(np.float64),
        demonstrated=np.stack([sample.action for sample in samples]).astype(np.float64),
        valid=np.stack([sample.valid for sample in samples]),
        state=np.stack([sample.state[-1] for sample in samples]).astype(np.float64),
        scale=scale,
        demonstrations=count_demonstrations(reader),
        frames={task: int(count) for task, count in zip(reader.tasks, counts, strict=True)},
    )
