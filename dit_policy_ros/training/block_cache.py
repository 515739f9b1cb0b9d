# SPDX-License-Identifier: Apache-2.0
"""Finds out from a dataset which blocks of a policy's network need not be computed at every step."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dit_policy_ros.data.dataset import SampleReader
from dit_policy_ros.policy.inference import DiTRuntime, calibrate, write_schedule


@dataclass(frozen=True, slots=True)
class BlockCacheResult:
    """A schedule that was written beside a checkpoint."""

    path: Path
    sampler: str  # the only one that the schedule is valid for
    share: float  # of the blocks that are computed
    deviation: float  # largest difference of the actions to the exact ones, as a share of their range


def calibrate_block_cache(
    policy: DiTRuntime, reader: SampleReader, observations: int, keep: float
) -> BlockCacheResult:
    """Make a schedule from evenly spread observations, and write it into the checkpoint's folder.

    Args:
        policy: with the sampler that the schedule is for.
        reader: of the dataset, from ``open_samples``.
        observations: how many to use, at least 2.
        keep: share of the blocks to compute, above 0, at most 1.

    Raises:
        CheckpointError: the network has no blocks to cache, or ``keep`` is out of range.
        DatasetError: a frame cannot be read.
    """
    frames = np.linspace(0, len(reader.action) - 1, observations).round().astype(int)  # (N,)
    encoded = []
    with torch.inference_mode():
        for frame in frames:
            sample = reader.read(int(frame))
            task = reader.tasks[reader.task_index[frame]]
            encoded.append(policy.observe(sample.images, sample.state, task))
    schedule = calibrate(policy, encoded, keep)
    path = write_schedule(policy.checkpoint.folder, schedule)
    return BlockCacheResult(path, schedule.sampler, schedule.share, schedule.deviation)
