# SPDX-License-Identifier: Apache-2.0
"""The steps from chosen frames to a batch, which do not depend on how many robots there are.

Shapes: M frames, B batch.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.dit_policy import Batch
from dit_policy_ros.training.batches._collator import Collator
from dit_policy_ros.training.batches._kept_features import KeptFeatures
from dit_policy_ros.training.batches._raw_batch import RawBatch
from dit_policy_ros.training.batches._windows import WindowIndex, Windows


class BatchSource(ABC):
    """Makes batches of frames. A subclass sets the index and the collator, and reads."""

    data: Demonstrations
    non_idle: NDArray[np.bool_]  # (M,) frames that are no pause
    _index: WindowIndex
    _collator: Collator

    def windows(self, newest: NDArray[np.int64]) -> Windows:
        """The frames of the examples whose newest observed frames are (B,)."""
        return self._index.windows(newest)

    @abstractmethod
    def read(self, newest: NDArray[np.int64], features: KeptFeatures | None = None) -> RawBatch:
        """Read what one batch needs.

        Args:
            newest: (B,) the newest observed frame of each example.
            features: of a frozen vision encoder; None reads the images.
        """

    def collate(self, raw: RawBatch, training: bool = False) -> Batch:
        """Normalise a batch on its device; in training also augment images and drop instructions.

        Random numbers come from torch's global generators.
        """
        return self._collator.collate(raw, training)

    def batch(self, newest: NDArray[np.int64], features: KeptFeatures | None = None) -> Batch:
        """One batch without augmentation, on the CPU; arguments as in ``read``."""
        return self.collate(self.read(newest, features))
