# SPDX-License-Identifier: Apache-2.0
"""Lets a policy predict at recorded observations, under the right instruction and under all others."""

from collections.abc import Callable

import numpy as np

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.data.dataset import SampleReader
from dit_policy_ros.training.diagnostics._diagnosis import Predictions
from dit_policy_ros.training.diagnostics._measures import spread_units
from dit_policy_ros.training.diagnostics._samples import (
    choose_frames,
    count_demonstrations,
    demonstrated_well,
)


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
        DatasetError: a frame cannot be read, no action ever changes, or no episode is a demonstration.
    """
    is_good = demonstrated_well(reader)  # (M,)
    scale = spread_units(reader.action[is_good])  # (A,)
    if not scale.any():
        raise DatasetError(
            f"dataset {reader.root}: no action ever changes, so predictions cannot be compared with it"
        )
    tasks = tuple(dict.fromkeys((*reader.tasks, *policy.known_tasks)))
    frames = choose_frames(reader.task_index, per_task, is_good)
    named = policy.action_names or ()
    names = named if len(named) == len(scale) else tuple(f"entry {i}" for i in range(len(scale)))
    predicted, samples = [], []
    import torch  # here, because it takes seconds, and --help needs the thresholds alone

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
    counts = np.bincount(reader.task_index[is_good], minlength=len(reader.tasks))
    return Predictions(
        tasks=tasks,
        demonstrated_task=reader.task_index[frames],
        predicted=np.stack(predicted).astype(np.float64),
        demonstrated=np.stack([sample.action for sample in samples]).astype(np.float64),
        valid=np.stack([sample.valid for sample in samples]),
        state=np.stack([sample.state[-1] for sample in samples]).astype(np.float64),
        scale=scale,
        action_names=names,
        demonstrations=count_demonstrations(reader, is_good),
        frames={task: int(count) for task, count in zip(reader.tasks, counts, strict=True)},
    )
