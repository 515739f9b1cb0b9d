# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to training batches.

Chooses the frames, augments and normalises them.
"""

from dit_policy_ros.training.batches._batches import BatchMaker, BatchOptions
from dit_policy_ros.training.batches._raw_batch import RawBatch
from dit_policy_ros.training.batches._sampling import FrameSampler, Shard
from dit_policy_ros.training.batches._splits import (
    held_out_mask,
    start_mask,
    task_mask,
    task_number,
    unflagged_mask,
)

__all__ = [
    "BatchMaker",
    "BatchOptions",
    "FrameSampler",
    "RawBatch",
    "Shard",
    "held_out_mask",
    "start_mask",
    "task_mask",
    "task_number",
    "unflagged_mask",
]
