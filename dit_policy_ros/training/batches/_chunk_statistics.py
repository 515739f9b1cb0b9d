# SPDX-License-Identifier: Apache-2.0
"""Statistics of action chunks that are too many to hold in memory at once.

Shapes: B chunks, T horizon, A action entries.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

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
        # The stride does not divide the horizon, so the subset has rows of every step of a chunk.
        rows.append(flat[:: 7 if part.shape[1] % 7 else 11])
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
