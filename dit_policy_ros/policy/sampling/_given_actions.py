# SPDX-License-Identifier: Apache-2.0
"""Sampling with given actions, for a network with ``trained_delay``: a chunk continues what is executed.

It costs one copy of the rows per step, not the gradients of guidance. ``_given`` has the training.

Shapes: B batch, T horizon, A action entries.
"""

import torch
from torch import Tensor

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.sampling._given import with_marks
from dit_policy_ros.policy.sampling._predictor import Predictor
from dit_policy_ros.policy.sampling._previous_chunk import ActionPrefix


def committed_rows(config: PolicyConfig, prefix: ActionPrefix) -> Tensor | None:
    """The rows that are executed before the new chunk arrives, as far as the network learned to go on.

    In training rows are given from the first one on. So rows before the first known action are given, too,
    with that action, and none after a gap.

    Returns:
        bool (T,); None if there are none.
    """
    rows = torch.arange(len(prefix.is_known), device=prefix.is_known.device)
    is_missing = ~prefix.is_known & (rows >= int(prefix.is_known.int().argmax()))
    is_given = (is_missing.cumsum(0) == 0) & (rows < min(prefix.committed, config.most_given))
    return is_given if bool((is_given & prefix.is_known).any()) else None


def given_actions(predict: Predictor, actions: Tensor | None, is_given: Tensor | None) -> Predictor:
    """A predictor for actions (B, T, A) from that of a network that reads marks, too.

    Args:
        predict: the network's, for (B, T, A + 1).
        actions: (1, T, A) to give.
        is_given: bool (T,) the rows to give; None gives none.
    """

    def predicted(x: Tensor, t: float) -> Tensor:
        if actions is None or is_given is None:
            return predict(with_marks(x, torch.zeros_like(x[..., 0], dtype=torch.bool)), t)
        clean = torch.where(is_given[:, None], actions.to(x.dtype), x)
        return predict(with_marks(clean, is_given.expand(x.shape[0], -1)), t)

    return predicted
