# SPDX-License-Identifier: Apache-2.0
"""Teaches an observation encoder what the demonstrator is about to do, as instruction and images tell it.

In diffusion training a small network learns late which object is meant: the noisy actions that it reads show
the motion already, at most steps. Here nothing shows it: a linear layer must tell the coming states from the
output of the fusion MLP. So images and instruction are read together before actions are learned. Nothing but
the demonstrations is needed.

Shapes: M frames, K of them that are used, B batch, D state entries, G targets, C entries of the vector.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker, FrameSampler, KeptFeatures, observed
from dit_policy_ros.training.pretext._frames import coming_states, evenly
from dit_policy_ros.training.pretext._goals import next_goals
from dit_policy_ros.training.pretext._regression import (
    HELD_OUT,
    PretextSettings,
    RegressionLoss,
    Report,
    Targets,
)
from dit_policy_ros.training.trainer import make_schedule

_AHEAD = (0.25, 0.5, 1.0, 2.0)  # [s] at which the coming motion is told


@dataclass(frozen=True, slots=True)
class IntentFrames:
    """The frames to learn from, in their order (K,), and the features of all frames that they need.

    features: from ``BatchMaker.encode_frames``; None without cameras.
    """

    frames: NDArray[np.int64]
    features: KeptFeatures | None

    @classmethod
    def choose(
        cls,
        batches: BatchMaker,
        policy: DiTPolicy,
        usable: NDArray[np.bool_],
        most: int,
        report: Callable[[int, int], None] = lambda done, total: None,
        encoded: KeptFeatures | None = None,
    ) -> "IntentFrames":
        """Choose frames evenly and encode their images.

        Args:
            batches: of the demonstrations.
            policy: whose vision encoder reads the images.
            usable: bool (M,) the frames that may be used.
            most: K at most.
            report: called with the number of encoded images and their total.
            encoded: features of all that the usable frames observe, if they are there already.
        """
        chosen = evenly(usable, most)
        if encoded is not None or not policy.config.image_features:
            return cls(chosen, encoded)
        return cls(chosen, batches.encode_frames(policy, observed(batches, chosen, policy.config), report))


def pretrain_intent(
    policy: DiTPolicy,
    batches: BatchMaker,
    chosen: IntentFrames,
    settings: PretextSettings,
    *,
    report: Report = lambda step, loss: None,
) -> NDArray[np.float32]:
    """Train what the fusion MLP and all before it make of images, state and instruction, in place.

    The vision and text encoders stay as they are, and so does the denoising network. The linear layer reads
    the MLP's output after the SiLU that the denoising layers apply first, and is dropped afterwards.

    Args:
        policy: with ``observation_layers`` of 1 or more, trained on its device.
        batches: of the demonstrations; each example gets one of its wordings.
        chosen: the frames.
        settings: of the optimisation.
        report: called with step and loss.

    Returns:
        Absolute errors (K_held_out, G) of the coming states in the last frames, which were not learned.
    """
    mixer = policy.observation_encoder.mixer
    if mixer is None:
        raise ValueError("expected a policy with observation_layers of 1 or more")
    torch.manual_seed(settings.seed)
    device, width = mixer.norm.weight.device, mixer.norm.normalized_shape[0]
    coming = coming_states(batches.data, chosen.frames, _AHEAD)  # (K, 4 D)
    goals = next_goals(batches.data, chosen.frames)  # (K, D)
    targets = Targets(np.concatenate((coming, goals), axis=1).astype(np.float32))  # (K, G)
    loss_of = RegressionLoss(targets, device)
    head = nn.Linear(width, targets.values.shape[-1]).to(device)
    trained = [*policy.fusion_parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = make_schedule(optimizer, min(200, settings.steps // 10 + 1), settings.steps)
    trained_on = round(len(chosen.frames) * (1 - HELD_OUT))
    sampler = FrameSampler(np.arange(trained_on), settings.batch_size, settings.seed)

    def predict(rows: NDArray[np.int64], training: bool) -> Tensor:
        """Normalised coming states (B, G) of the frames numbered (B,)."""
        raw = batches.read(chosen.frames[rows], chosen.features).to(device)
        vector = policy.encode(batches.collate(raw, training))  # (B, C)
        return head(functional.silu(vector[:, -width:]))

    for step, rows in zip(range(settings.steps), sampler, strict=False):
        loss = loss_of(predict(rows, training=True), loss_of.values[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        report(step + 1, float(loss.detach()))
    held_out = np.arange(trained_on, len(chosen.frames))
    parts = np.array_split(held_out, max(1, len(held_out) // settings.batch_size))
    with torch.no_grad():
        predicted = torch.cat([predict(rows, training=False) for rows in parts if len(rows)])
    return loss_of.absolute_errors(predicted, trained_on)
