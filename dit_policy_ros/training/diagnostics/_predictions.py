# SPDX-License-Identifier: Apache-2.0
"""Lets a policy predict at recorded observations, under the right instruction and under all others."""

from collections.abc import Callable

import numpy as np
import torch

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.data.dataset import SampleReader
from dit_policy_ros.training.diagnostics._diagnosis import Predictions
from dit_policy_ros.training.diagnostics._samples import choose_frames, count_demonstrations


def predict_samples(
    policy: Policy,
    reader: SampleReader,
    per_task: int,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """Predict under every known instruction at frames of every task.

    All predictions at one frame use the same random numbers, so they differ only by the instruction. torch's
    global generator does not change.

    Args:
        policy: under test.
        reader: of the demonstrations, from ``open_samples``.
        per_task: observations per task.
        seed: of the sampling.
        report: called with the number of predictions and their total.

    Raises:
        DatasetError: a frame cannot be read, or no action ever changes.
    """
    scale = reader.action.std(axis=0).astype(np.float64)  # (A,)
    if scale.max(initial=0.0) <= 1e-6:
        raise DatasetError(
            f"dataset {reader.root}: no action ever changes, so predictions cannot be compared with it"
        )
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
    return Predictions(
        tasks=tasks,
        demonstrated_task=reader.task_index[frames],
        predicted=np.stack(predicted).astype(np.float64),
        demonstrated=np.stack([sample.action for sample in samples]).astype(np.float64),
        valid=np.stack([sample.valid for sample in samples]),
        state=np.stack([sample.state[-1] for sample in samples]).astype(np.float64),
        scale=scale,
        demonstrations=count_demonstrations(reader),
        frames={task: int(count) for task, count in zip(reader.tasks, counts, strict=True)},
    )
