# SPDX-License-Identifier: Apache-2.0
"""Relative actions: joint targets measured from the newest observed state.

With absolute targets the network has to reproduce the state to within a millimetre before it can add a
motion. With relative targets values close to the present are close to zero, and the network's error shrinks
with the remaining distance. Joints whose target does not depend on where they are (grippers) stay absolute.
Chi et al. 2024 (UMI, arXiv 2402.10329) compare the two.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def action_origin(state: Tensor, entries: Sequence[int], action_dim: int) -> Tensor:
    """The values that the actions of a chunk are measured from; subtract them from actions (..., T, A).

    Args:
        state: (..., D) newest observed state [rad or m].
        entries: indices of the relative action entries; each is relative to the same entry of the state.
        action_dim: A.

    Returns:
        (..., 1, A): the state in ``entries``, 0 elsewhere.
    """
    origin = torch.zeros((*state.shape[:-1], action_dim), dtype=state.dtype, device=state.device)
    chosen = list(entries)
    origin[..., chosen] = state[..., chosen]
    return origin.unsqueeze(-2)
