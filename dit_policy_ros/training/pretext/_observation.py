# SPDX-License-Identifier: Apache-2.0
"""Pretrains an observation encoder: it learns which object an instruction names.

In behaviour cloning only the motion that follows shows which object was meant, once per demonstration. Stills
with known content show it for every instruction at once: the vector that conditions the actions learns to
hold the position of the named object. Needs ``observation_layers``.

Shapes: M stills, B batch, K instructions, S observation steps, I of them whose images are read, F image
features, D state entries, E text features, G targets, H hidden.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.encoders import ObservationEncoder
from dit_policy_ros.training.batches import FrameSampler
from dit_policy_ros.training.pretext._regression import (
    HELD_OUT,
    PretextSettings,
    RegressionLoss,
    Report,
    Targets,
)
from dit_policy_ros.training.trainer import make_schedule

STATE_NOISE = 0.05  # largest standard deviation of a joint's motion between two observed steps, normalised


@dataclass(frozen=True, slots=True)
class EncodedStills:
    """Stills and instructions after the frozen encoders."""

    features: Tensor  # (M, F) of all cameras
    state: Tensor  # (M, D) normalised
    pooled_text: Tensor  # (K, E)


def pretrain_observation(
    encoder: ObservationEncoder,
    stills: EncodedStills,
    targets: Targets,
    settings: PretextSettings,
    *,
    report: Report = lambda step, loss: None,
) -> NDArray[np.float32]:
    """Train the encoder's MLP and text projection in place to hold ``targets`` of the named object.

    A linear layer reads the targets from the MLP's output. It reads them after the SiLU that the denoising
    layers apply first (``adaln.modulation``), because they cannot use what a linear layer cannot read there.
    The linear layer is dropped afterwards. A still is the newest observation step; in the older steps the
    joints are displaced at random, as those of a moving robot, because positions must not depend on that.

    Args:
        encoder: of the policy, trained on its device.
        stills: inputs.
        targets: (M, K, G) of each still under each instruction. In half of the drawn pairs all
            are known.
        settings: of the optimisation; a batch holds pairs of still and instruction.
        report: called with step and loss.

    Returns:
        Absolute errors (M_held_out, K, G) on the held-out stills, in the targets' unit; NaN if unknown.
    """
    mixer = encoder.mixer
    if mixer is None:
        raise ValueError("expected an encoder with observation_layers of 1 or more")
    torch.manual_seed(settings.seed)
    device, count = mixer.norm.weight.device, len(targets.values)
    loss_of = RegressionLoss(targets, device)
    is_complete = np.asarray(np.isfinite(targets.values).all(axis=-1))  # (M, K)
    head = nn.Linear(mixer.norm.normalized_shape[0], targets.values.shape[-1]).to(device)
    features, state, pooled_text = (
        each.to(device) for each in (stills.features, stills.state, stills.pooled_text)
    )
    trained = [*mixer.parameters(), *encoder.text_encoder.projection.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = make_schedule(optimizer, min(200, settings.steps // 10 + 1), settings.steps)
    trained_on = round(count * (1 - HELD_OUT))
    sampler = FrameSampler(np.arange(trained_on), settings.batch_size, settings.seed)
    instruction_rng = np.random.default_rng(settings.seed)

    def predict(frames: NDArray[np.int64], named: NDArray[np.int64]) -> Tensor:
        """Stills (B,) and instructions (B,) -> normalised targets (B, G), as a moving robot observes them."""
        images = features[frames][:, None].expand(-1, encoder.config.read_image_steps, -1)  # (B, I, F)
        newest = state[frames][:, None]  # (B, 1, D)
        speed = STATE_NOISE * torch.rand(len(frames), 1, 1, device=device)  # (B, 1, 1)
        older = len(frames), encoder.config.n_obs_steps - 1, state.shape[1]
        motion = speed * torch.randn(older, device=device)  # (B, S - 1, D)
        states = torch.cat((newest + motion, newest), dim=1)  # (B, S, D)
        text = encoder.text_encoder(pooled_text[named])  # (B, H)
        mixed = mixer.fuse(encoder.concatenate(images, encoder.state_features(states), text))  # (B, H)
        return head(functional.silu(mixed))

    for step, frames in zip(range(settings.steps), sampler, strict=False):
        named = instruction_rng.integers(len(pooled_text), size=len(frames))  # (B,)
        has_complete = is_complete[frames].any(axis=1)  # (B,)
        use_complete = has_complete & (instruction_rng.random(len(frames)) < 0.5)  # (B,)
        named[use_complete] = is_complete[frames[use_complete]].argmax(axis=1)
        loss = loss_of(predict(frames, named), loss_of.values[frames, named])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        report(step + 1, float(loss.detach()))
    held_out = np.arange(trained_on, count)
    with torch.no_grad():
        predicted = torch.stack(
            [predict(held_out, np.full(len(held_out), named)) for named in range(len(pooled_text))], dim=1
        )
    return loss_of.absolute_errors(predicted, trained_on)
