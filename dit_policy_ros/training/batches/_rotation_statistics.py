# SPDX-License-Identifier: Apache-2.0
"""Statistics of 6-D rotations: all six entries have one scale.

Scaled entry by entry, by what the data happen to have, noise of an entry that hardly changes would count as
much as a turn, and the loss would weigh the axes differently.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dit_policy_ros.core.poses import ROTATION_ENTRIES, rotation_columns

_LEAST = 0.2  # range of an entry: 0.1 rad to each side
_RANGES = (("min", "max"), ("q01", "q99"), ("q10", "q90"))


def with_even_rotations(stats: Mapping[str, Tensor], names: Sequence[str] | None) -> dict[str, Tensor]:
    """Statistics of a vector in which each rotation's entries have the range of the one that changes most.

    Each entry keeps its middle. A rotation that hardly changes has a least range.

    Args:
        stats: by name, (D,) each; others than the usual ones stay.
        names: of its entries; None if they are not known, and nothing changes.
    """
    columns = torch.tensor(rotation_columns(names or ()), dtype=torch.long).reshape(-1, len(ROTATION_ENTRIES))
    changed = {name: values.clone() for name, values in stats.items()}
    for own in columns:  # (6,) of one arm
        for low, high in _RANGES:
            if low in changed and high in changed:
                first, last = changed[low][own], changed[high][own]  # (6,) both
                half = (last - first).max().clamp(min=_LEAST) / 2
                middle = (first + last) / 2
                changed[low][own], changed[high][own] = middle - half, middle + half
        if "std" in changed:
            changed["std"][own] = changed["std"][own].max().clamp(min=_LEAST / 4)
    return changed
