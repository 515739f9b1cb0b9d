# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average (EMA) of a network's weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class EmaModel(AveragedModel):
    """torch's averaged model with a decay that grows at first, so that early checkpoints are good, too."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the network's present weights; ``decay`` in [0, 1). Frozen weights are shared."""

        def update(averages: Any, weights: Any, updates: Any) -> None:
            count = int(updates)
            pairs = zip(averages, weights, strict=True)
            moving = [(a, w) for a, w in pairs if a.data_ptr() != w.data_ptr()]  # not the shared ones
            if moving:
                average = get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))
                average([a for a, _ in moving], [w for _, w in moving], updates)

        super().__init__(network, multi_avg_fn=update)
        self.n_averaged += 1  # at 0 the first update would copy the weights instead
        self.eval().requires_grad_(False)
        for average, weight in zip(self.module.parameters(), network.parameters(), strict=True):
            if not weight.requires_grad:
                average.data = weight.data

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load a state, also one of the class before this: ``{"network": ..., "updates": ...}``."""
        if set(state_dict) == {"network", "updates"}:
            weights = {f"module.{name}": weight for name, weight in state_dict["network"].items()}
            state_dict = weights | {"n_averaged": torch.tensor(state_dict["updates"] + 1)}
        return super().load_state_dict(state_dict, strict, assign)
