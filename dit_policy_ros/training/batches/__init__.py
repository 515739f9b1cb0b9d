# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to training batches.

Chooses the frames, augments and normalises them.
"""

from dit_policy_ros.training.batches._augmentation import Augmentation
from dit_policy_ros.training.batches._batch_source import BatchSource
from dit_policy_ros.training.batches._batches import BatchMaker
from dit_policy_ros.training.batches._chunk_statistics import chunk_stats
from dit_policy_ros.training.batches._collator import BatchOptions, Collator
from dit_policy_ros.training.batches._frame_roles import FrameRoles, observed
from dit_policy_ros.training.batches._gripper_statistics import GRIPPER
from dit_policy_ros.training.batches._kept_features import KeptFeatures
from dit_policy_ros.training.batches._raw_batch import RawBatch
from dit_policy_ros.training.batches._rotation_statistics import with_even_rotations
from dit_policy_ros.training.batches._sampling import FrameSampler, Shard, intervention_groups
from dit_policy_ros.training.batches._splits import (
    Split,
    held_out_mask,
    overruled_mask,
    split_frames,
    start_mask,
    task_mask,
    task_number,
    unflagged_mask,
)
from dit_policy_ros.training.batches._windows import WindowIndex, Windows

__all__ = [
    "GRIPPER",
    "Augmentation",
    "BatchMaker",
    "BatchOptions",
    "BatchSource",
    "Collator",
    "FrameRoles",
    "FrameSampler",
    "KeptFeatures",
    "RawBatch",
    "Shard",
    "Split",
    "WindowIndex",
    "Windows",
    "chunk_stats",
    "held_out_mask",
    "intervention_groups",
    "observed",
    "overruled_mask",
    "split_frames",
    "start_mask",
    "task_mask",
    "task_number",
    "unflagged_mask",
    "with_even_rotations",
]
