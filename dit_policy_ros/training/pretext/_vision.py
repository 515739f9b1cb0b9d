# SPDX-License-Identifier: Apache-2.0
"""Pretrains a vision encoder: it learns where things are in an image.

An encoder with random weights gives behaviour cloning nothing to work with. Regressing known positions from
rendered stills is a denser signal than imitation, and needs no demonstrations.

Shapes: M stills, B batch, G targets, F features.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.inference import has_fast_bfloat16
from dit_policy_ros.training.batches import FrameSampler
from dit_policy_ros.training.pretext._regression import (
    HELD_OUT,
    PretextSettings,
    RegressionLoss,
    Report,
    Targets,
)
from dit_policy_ros.training.trainer import make_schedule


def pretrain_vision(
    encoder: VisionEncoder,
    images: Callable[[NDArray[np.int64]], Tensor],
    targets: Targets,
    settings: PretextSettings,
    *,
    compiled: bool = False,
    report: Report = lambda step, loss: None,
) -> NDArray[np.float32]:
    """Train ``encoder`` in place to predict ``targets`` (M, G) with a linear layer on its class token.

    Args:
        encoder: the vision encoder, trained on its device.
        images: returns the normalised, cropped images (B, 3, H, W) of the stills numbered (B,), on
            that device.
        targets: of each still.
        settings: of the optimisation.
        compiled: compile the encoder, and multiply in bfloat16 if the device has it in hardware.
        report: called with step and loss.

    Returns:
        Absolute errors (M_held_out, G) on the held-out stills, in the targets' unit; NaN if unknown.
    """
    torch.manual_seed(settings.seed)
    device, count = next(encoder.parameters()).device, len(targets.values)
    loss_of = RegressionLoss(targets, device)
    head = nn.Linear(encoder.feature_dim, targets.values.shape[-1]).to(device)
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *head.parameters()],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    schedule = make_schedule(optimizer, min(200, settings.steps // 10 + 1), settings.steps)
    trained_on = round(count * (1 - HELD_OUT))
    sampler = FrameSampler(np.arange(trained_on), settings.batch_size, settings.seed)
    encoder.train()
    network = torch.compile(encoder) if compiled else encoder
    use_bfloat16 = compiled and has_fast_bfloat16(device)
    for step, frames in zip(range(settings.steps), sampler, strict=False):
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16):
            features = network(images(frames))  # (B, F)
        loss = loss_of(head(features.float()), loss_of.values[frames])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report(step + 1, float(loss.detach()))
    encoder.eval()
    held_out = np.arange(trained_on, count)
    with torch.no_grad():
        parts = np.array_split(held_out, max(1, len(held_out) // settings.batch_size))
        predicted = torch.cat([head(encoder(images(frames))) for frames in parts if len(frames)])
    return loss_of.absolute_errors(predicted, trained_on)
