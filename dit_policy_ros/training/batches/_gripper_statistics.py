# SPDX-License-Identifier: Apache-2.0
"""Statistics that make the normalised actions of grippers small.

Duan et al. 2025 (arXiv 2508.05396) divide them by 10 before training. A warm start adds noise of an
intermediate level to the previous chunk: enough to cover a small value, so that the observation decides
whether a gripper opens, and not the chunk before.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dit_policy_ros.training.errors import TrainingError

GRIPPER = "gripper"  # part of the names of actions that are either of two values
_RANGES = (("min", "max"), ("q01", "q99"), ("q10", "q90"))


def with_small_grippers(
    stats: Mapping[str, Tensor], names: Sequence[str] | None, scale: float
) -> dict[str, Tensor]:
    """Statistics of actions by which grippers are normalised to values smaller by ``scale``.

    Each keeps its middle.

    Args:
        stats: by name, (A,) each; others than the usual ones stay.
        names: of the entries; None if they are not known.
        scale: 1 or more.

    Raises:
        TrainingError: no entry is named after a gripper.
    """
    grippers = torch.tensor([GRIPPER in name for name in names or ()], dtype=torch.bool)
    if not bool(grippers.any()):
        raise TrainingError(
            f"gripper_scale: expected actions with {GRIPPER!r} in their names, got "
            f"{', '.join(names or ()) or 'no names'}; leave it at 1"
        )
    changed = {name: values.clone() for name, values in stats.items()}
    for low, high in _RANGES:
        if low in changed and high in changed:
            middle, half = (changed[high] + changed[low]) / 2, (changed[high] - changed[low]) / 2
            changed[low] = torch.where(grippers, middle - scale * half, changed[low])
            changed[high] = torch.where(grippers, middle + scale * half, changed[high])
    if "std" in changed:
        changed["std"] = torch.where(grippers, scale * changed["std"], changed["std"])
    return changed
