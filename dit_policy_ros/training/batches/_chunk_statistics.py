# SPDX-License-Identifier: Apache-2.0
"""Statistics of action chunks that are too many to hold in memory at once.

Shapes: B chunks, T horizon, A action entries.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

_STRIDES = (7, 11, 13, 17, 19, 23, 1)
_QUANTILE_ROWS = 1_000_000  # torch.quantile refuses more than 16 million values


def chunk_stats(parts: Iterable[Tensor]) -> dict[str, Tensor]:
    """Statistics (A,) by name over all rows of parts (B, T, A); quantiles are those of a regular subset."""
    count, total, squares, lows, highs, rows = 0, 0.0, 0.0, list[Tensor](), list[Tensor](), list[Tensor]()
    for part in parts:
        flat = part.flatten(0, 1)  # (B T, A)
        exact = flat.to(torch.float64)
        count += len(flat)
        total, squares = total + exact.sum(dim=0), squares + exact.square().sum(dim=0)
        lows.append(flat.amin(dim=0))
        highs.append(flat.amax(dim=0))
        # A stride without a factor of the horizon, so that the subset has rows of every step of a chunk.
        rows.append(flat[:: next(step for step in _STRIDES if math.gcd(step, part.shape[1]) == 1)])
    mean, subset = torch.as_tensor(total / count), torch.cat(rows)
    variance = (torch.as_tensor(squares / count) - mean.square()).clamp(min=0.0)
    subset = subset[:: -(-len(subset) // _QUANTILE_ROWS)]
    quantiles = {
        f"q{percent:02d}": torch.quantile(subset, percent / 100, dim=0) for percent in (1, 10, 90, 99)
    }
    return {
        "min": torch.stack(lows).amin(dim=0),
        "max": torch.stack(highs).amax(dim=0),
        "mean": mean.to(torch.float32),
        "std": variance.sqrt().to(torch.float32),
        **quantiles,
    }
