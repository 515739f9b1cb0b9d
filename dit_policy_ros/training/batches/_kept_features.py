# SPDX-License-Identifier: Apache-2.0
"""The features of a frozen vision encoder, of those frames that training reads.

Shapes: M frames, K of them that are encoded, N cameras, P tokens of an image, F features of a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class KeptFeatures:
    """Features by frame; those of datasets in several files stay in several arrays.

    parts: (K_i, N * F) each, or (K_i, N, P, F) if the network reads tokens.
    rows: int64 (M,) where a frame's features are, counted through all parts; -1 if it was not encoded.
    """

    parts: tuple[Tensor, ...]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, features: Tensor, is_encoded: NDArray[np.bool_]) -> "KeptFeatures":
        """Features (K, ...) of the frames (M,) that are encoded, in their order."""
        return cls((features,), np.where(is_encoded, np.cumsum(is_encoded) - 1, -1))

    @classmethod
    def joined(cls, others: Sequence["KeptFeatures"]) -> "KeptFeatures":
        """The frames of all, one after the other."""
        counts = [sum(len(part) for part in each.parts) for each in others]
        first = np.cumsum([0, *counts[:-1]])
        rows = [
            np.where(each.rows < 0, -1, each.rows + begin) for each, begin in zip(others, first, strict=True)
        ]
        return cls(tuple(part for each in others for part in each.parts), np.concatenate(rows))

    def between(self, begin: int, end: int) -> "KeptFeatures":
        """Of the frames from ``begin`` to before ``end``."""
        return KeptFeatures(self.parts, self.rows[begin:end])

    def of_frames(self, frames: NDArray[np.int64]) -> Tensor:
        """The features (..., N * F) or (..., N, P, F) of frames (...); ValueError if one was not encoded."""
        rows = self.rows[frames]
        if (rows < 0).any():
            raise ValueError(f"the images of frame {frames[rows < 0][0]} were not encoded")
        if len(self.parts) == 1:
            return self.parts[0][torch.from_numpy(rows)]
        first = self.parts[0]
        found = torch.empty(*rows.shape, *first.shape[1:], dtype=first.dtype)
        begin = 0
        for part in self.parts:
            here = (rows >= begin) & (rows < begin + len(part))
            found[torch.from_numpy(here)] = part[torch.from_numpy(rows[here] - begin)]
            begin += len(part)
        return found
