# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average (EMA) of a network's weights."""

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dit_policy_ros.training.sharding import local_part


class EmaModel(AveragedModel):
    """torch's averaged model with a decay that grows at first, so that early checkpoints are good, too."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the network's present weights; ``decay`` in [0, 1). Frozen weights are shared."""

        def update(averages: Any, weights: Any, updates: Any) -> None:
            count = int(updates)
            pairs = zip(map(local_part, averages), map(local_part, weights), strict=True)
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
