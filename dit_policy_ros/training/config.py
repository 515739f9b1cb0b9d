# SPDX-License-Identifier: Apache-2.0
"""How a policy is trained: one typed table, whose fields are also the command line's options."""

from dataclasses import dataclass, field, fields

from dit_policy_ros.training.errors import TrainingError


def _option(default: int | float | bool | str | None, text: str, low: float | None = None) -> object:
    return field(default=default, metadata={"help": text, "low": low})


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Options of one training run; the policy's own options are ``policy.config.PolicyConfig``."""

    steps: int = _option(10_000, "optimiser steps", 1)  # type: ignore[assignment]
    batch_size: int = _option(64, "frames per step", 1)  # type: ignore[assignment]
    learning_rate: float = _option(3e-4, "peak rate of everything but the vision encoder", 0.0)  # type: ignore[assignment]
    vision_lr_multiplier: float = _option(  # type: ignore[assignment]
        0.1, "the vision encoder's share of the learning rate; 0 freezes it", 0.0
    )
    warmup_steps: int = _option(200, "steps over which the rate rises from 0", 0)  # type: ignore[assignment]
    weight_decay: float = _option(1e-4, "AdamW's decoupled weight decay", 0.0)  # type: ignore[assignment]
    beta1: float = _option(0.95, "AdamW's decay of the gradient's mean", 0.0)  # type: ignore[assignment]
    beta2: float = _option(0.999, "AdamW's decay of the gradient's square", 0.0)  # type: ignore[assignment]
    gradient_clip: float = _option(1.0, "largest norm of the gradient", 0.0)  # type: ignore[assignment]
    ema_decay: float = _option(0.999, "decay of the averaged weights that are saved; 0 saves the last", 0.0)  # type: ignore[assignment]
    checkpoint_every: int = _option(1000, "steps between checkpoints", 1)  # type: ignore[assignment]
    seed: int = _option(0, "of weights, batches and noise", 0)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for option in fields(self):
            low, value = option.metadata["low"], getattr(self, option.name)
            # Written so that NaN fails.
            if low is not None and not value >= low:
                raise TrainingError(f"{option.name}: expected at least {low}, got {value}")
        if not self.ema_decay < 1.0:
            raise TrainingError(f"ema_decay: expected less than 1, got {self.ema_decay}")
