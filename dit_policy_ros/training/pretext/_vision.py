# SPDX-License-Identifier: Apache-2.0
"""Teaching a vision encoder from scratch where things are, before it serves a policy.

A class token that has never seen the scene gives behaviour cloning nothing to work with. Regressing known
positions from rendered stills is a denser signal than imitation and needs no demonstrations.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.inference import has_fast_bfloat16
from dit_policy_ros.training.batches import FrameSampler
from dit_policy_ros.training.trainer import make_schedule

HELD_OUT = 0.05
SHARP = 0.1  # [standard deviation of a target] errors beyond count linearly: what is hidden must not rule


def pretrain_vision(
    encoder: VisionEncoder,
    images: Callable[[NDArray[np.int64]], Tensor],
    targets: NDArray[np.float32],
    *,
    steps: int,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    weights: NDArray[np.float32] | None = None,
    seed: int = 0,
    compiled: bool = False,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> NDArray[np.float32]:
    """Train ``encoder`` in place to predict ``targets`` by a linear layer on its class token.

    Args:
        encoder: the vision encoder; it is trained on the device where it is.
        images: returns the normalised, cropped images (B, 3, H, W) of the stills numbered (B,), there.
        targets: (M, K), e.g. positions [m]; scaled to unit variance for the loss. NaN where nothing is known.
        steps: optimiser steps.
        batch_size: stills per step.
        learning_rate: peak rate.
        weights: (K,) of the targets in the loss; None: all 1.
        seed: of the batches and the linear layer.
        compiled: compile the encoder, and multiply in bfloat16 where the device does so in hardware.
        report: called with step and loss.

    Returns:
        Absolute errors (M_held_out, K) on the held-out stills, in the targets' unit; NaN where unknown.
    """
    torch.manual_seed(seed)
    device = next(encoder.parameters()).device
    goal = torch.from_numpy(targets).to(device)
    mean, std = (torch.from_numpy(f(targets, axis=0)).to(device) for f in (np.nanmean, np.nanstd))  # (K,)
    share = torch.from_numpy(np.ones_like(targets[0]) if weights is None else weights).to(device)  # (K,)
    head = nn.Linear(encoder.model.config.hidden_size, targets.shape[1]).to(device)
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *head.parameters()], lr=learning_rate, weight_decay=1e-4
    )
    schedule = make_schedule(optimizer, warmup=min(200, steps // 10 + 1), steps=steps)
    known = round(len(targets) * (1 - HELD_OUT))
    encoder.train()
    network = torch.compile(encoder) if compiled else encoder
    halved = compiled and has_fast_bfloat16(device)
    for step, frames in zip(range(steps), FrameSampler(np.arange(known), batch_size, seed), strict=False):
        wanted = (goal[frames] - mean) / std  # (B, K)
        with torch.autocast(device.type, torch.bfloat16, enabled=halved):
            features = network(images(frames))  # (B, F)
        found = head(features.float())  # (B, K)
        is_known = wanted.isfinite()
        errors = functional.smooth_l1_loss(
            found, torch.where(is_known, wanted, found.detach()), reduction="none", beta=SHARP
        )
        loss = (share * errors).sum() / is_known.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report(step + 1, float(loss.detach()))
    encoder.eval()
    with torch.no_grad():
        chunks = np.array_split(np.arange(known, len(targets)), max(1, (len(targets) - known) // batch_size))
        predicted = torch.cat([head(encoder(images(frames))) for frames in chunks if len(frames)])
    return (predicted * std + mean - goal[known:]).abs().numpy(force=True)
