# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to training batches.

Which frames are learned from, how they are augmented, and how they are normalised.
"""

from dit_policy_ros.training.batches._batches import BatchMaker, RawBatch
from dit_policy_ros.training.batches._sampling import FrameSampler, held_out, trainable, unflagged

__all__ = ["BatchMaker", "FrameSampler", "RawBatch", "held_out", "trainable", "unflagged"]
