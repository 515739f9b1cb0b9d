# SPDX-License-Identifier: Apache-2.0
"""Actions that are counted from where the robot is.

A network that must say where a joint shall be has to repeat the state to within a millimetre before it adds
anything of its own. Counted from the newest observed state, what lies close to the present is close to zero,
and an error of the network shrinks with the distance that is left. Joints that are told where to be whatever
holds them (grippers) stay absolute. Chi et al. 2024 (UMI, arXiv 2402.10329) compare the two.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def reference(state: Tensor, entries: Sequence[int], action_dim: int) -> Tensor:
    """What the actions of a chunk are counted from.

    Args:
        state: (..., D) newest observed state [rad or m].
        entries: of the action, that are counted from the same entry of the state.
        action_dim: A.

    Returns:
        (..., 1, A): the state in ``entries``, 0 elsewhere; subtract it from (..., T, A).
    """
    zero = torch.zeros((*state.shape[:-1], action_dim), dtype=state.dtype, device=state.device)
    chosen = list(entries)
    zero[..., chosen] = state[..., chosen]
    return zero.unsqueeze(-2)
