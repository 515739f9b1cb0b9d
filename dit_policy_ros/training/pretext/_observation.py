# SPDX-License-Identifier: Apache-2.0
"""Teaching what an instruction means in a picture, before actions are learned.

Behaviour cloning says which cube was meant only through the motion that followed, once per demonstration.
Stills whose content is known say it for every instruction at once: the vector that conditions the actions
learns to hold where the thing is that the instruction names. Needs ``observation_layers``.

Shapes: M stills, B batch, K instructions, S observation steps, I of them whose images are read, F image
feature, D state, E text feature, G targets.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.encoders import ObservationEncoder
from dit_policy_ros.training.batches import FrameSampler
from dit_policy_ros.training.pretext._vision import HELD_OUT, SHARP
from dit_policy_ros.training.trainer import make_schedule

MOVED = 0.05  # largest standard deviation of what a joint moves between two observed steps, normalised


def pretrain_observation(
    encoder: ObservationEncoder,
    features: Tensor,
    state: Tensor,
    pooled_text: Tensor,
    targets: NDArray[np.float32],
    *,
    steps: int,
    batch_size: int = 512,
    learning_rate: float = 2e-3,
    weights: NDArray[np.float32] | None = None,
    seed: int = 0,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> NDArray[np.float32]:
    """Train the encoder's mixer and text projection in place to hold ``targets`` of the named thing.

    A linear layer reads them from what the mixer makes, through the SiLU that comes before the layers which
    denoise (``adaln.modulation``): what is bent by it so that no linear layer can tell it, they cannot use.
    It is dropped afterwards. A still stands for the newest observation step; in the older ones its joints
    were elsewhere, at random, as those of a moving robot are: where things are must not depend on it.

    Args:
        encoder: of the policy; it is trained on the device where it is.
        features: (M, F) of the stills, one camera.
        state: normalised (M, D).
        pooled_text: (K, E) of the instructions.
        targets: (M, K, G), e.g. positions [m]; scaled to unit variance for the loss. NaN where nothing is
            known; half of the pairs are those of which everything is.
        steps: optimiser steps.
        batch_size: pairs of still and instruction per step.
        learning_rate: peak rate.
        weights: (G,) of the targets in the loss; None: all 1.
        seed: of the batches and the linear layer.
        report: called with step and loss.

    Returns:
        Absolute errors (M_held_out, K, G) on the held-out stills, in the targets' unit; NaN where unknown.
    """
    mixer = encoder.mixer
    if mixer is None:
        raise ValueError("expected an encoder with observation_layers of 1 or more")
    torch.manual_seed(seed)
    device = mixer.norm.weight.device
    goal = torch.from_numpy(targets).to(device)  # (M, K, G)
    is_whole = np.isfinite(targets).all(axis=-1)  # (M, K)
    moments = (f(targets, axis=(0, 1)) for f in (np.nanmean, np.nanstd))
    mean, std = (torch.from_numpy(moment).to(device) for moment in moments)  # (G,)
    share = torch.from_numpy(np.ones_like(targets[0, 0]) if weights is None else weights).to(device)  # (G,)
    head = nn.Linear(mixer.norm.normalized_shape[0], len(mean)).to(device)
    features, state, pooled_text = (each.to(device) for each in (features, state, pooled_text))
    trained = [*mixer.parameters(), *encoder.text_encoder.projection.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=1e-3)
    schedule = make_schedule(optimizer, warmup=min(200, steps // 10 + 1), steps=steps)
    known, instructions = round(len(targets) * (1 - HELD_OUT)), np.random.default_rng(seed)

    def read(frames: NDArray[np.int64], named: NDArray[np.int64]) -> Tensor:
        """(B,), (B,) -> scaled targets (B, G) as they are found by a robot that moves."""
        images = features[frames][:, None].expand(-1, encoder.config.read_image_steps, -1)  # (B, I, F)
        newest = state[frames][:, None]  # (B, 1, D)
        speed = MOVED * torch.rand(len(frames), 1, 1, device=device)  # (B, 1, 1)
        older = len(frames), encoder.config.n_obs_steps - 1, state.shape[1]
        moved = speed * torch.randn(older, device=device)
        states = torch.cat((newest + moved, newest), dim=1)  # (B, S, D)
        text = encoder.text_encoder(pooled_text[named])  # (B, H)
        made = mixer.fuse(encoder.concatenate(images, encoder.state_features(states), text))  # (B, H)
        return head(functional.silu(made))

    for step, frames in zip(range(steps), FrameSampler(np.arange(known), batch_size, seed), strict=False):
        named = instructions.integers(len(pooled_text), size=len(frames))  # (B,)
        own = is_whole[frames].any(axis=1) & (instructions.random(len(frames)) < 0.5)  # (B,)
        named[own] = is_whole[frames[own]].argmax(axis=1)
        wanted = (goal[frames, named] - mean) / std  # (B, G)
        is_known = wanted.isfinite()
        found = read(frames, named)
        errors = functional.smooth_l1_loss(
            found, torch.where(is_known, wanted, found.detach()), reduction="none", beta=SHARP
        )
        loss = (share * errors).sum() / is_known.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        report(step + 1, float(loss.detach()))
    held, every = np.arange(known, len(targets)), range(len(pooled_text))
    with torch.no_grad():
        found = torch.stack([read(held, np.full(len(held), named)) for named in every], dim=1)
    return (found * std + mean - goal[known:]).abs().numpy(force=True)
