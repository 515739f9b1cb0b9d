# SPDX-License-Identifier: Apache-2.0
"""How a policy is trained: one typed table, whose fields are also the command line's options."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.policy.config import decode_dataclass
from dit_policy_ros.training.errors import TrainingError

UNCHANGEABLE_HINT = "start a new run with --init for other options"


def _about(
    text: str, group: str, low: float | None = None, below: float | None = None, resumable: bool = False
) -> dict[str, Any]:
    """A field's help, its heading, its bounds, and whether a resumed run may change it."""
    return {"help": text, "group": group, "low": low, "below": below, "resumable": resumable}


def _option(default: Any, text: str, group: str, **about: Any) -> Any:
    return field(default=default, metadata=_about(text, group, **about))


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Options of one training run."""

    # what is learned from
    dataset: tuple[str, ...] = _option((), "folders of LeRobotDatasets v3, read as one", "data")
    cameras: tuple[str, ...] = _option((), "cameras to use; none named: all of the dataset", "data")
    tasks: tuple[str, ...] = _option((), "instructions to train on; none named: all", "data")
    use_flagged: bool = _option(
        False, "train on frames and episodes too that the recorder flagged as bad", "data"
    )
    frame_store: str = _option(
        "",
        "folder that keeps the decoded images, for data larger than memory or several processes; "
        "empty: memory",
        "data",
        resumable=True,
    )
    # the policy
    init: str = _option("", "checkpoint whose network and options to start from", "policy")
    network: Literal["small", "clip"] = _option(
        "small",
        "a new network: small from scratch (two CPU cores train it), or around pretrained CLIP encoders "
        "with LeRobot's sizes",
        "policy",
    )
    policy: dict[str, Any] = field(
        default_factory=dict,
        metadata=_about(
            "options of a new network as NAME=VALUE, those of its config.json (docs/policy.md)", "policy"
        ),
    )
    relative_actions: bool = _option(
        False,
        "a new network's actions count from the newest observed state: precise close by, and what it learns "
        "for one place holds for others; LeRobot cannot load such a checkpoint",
        "policy",
    )
    absolute_joints: tuple[str, ...] = _option(
        ("gripper",), "with relative_actions, joints that stay absolute: parts of their names", "policy"
    )
    statistics: Literal["checkpoint", "dataset"] = _option(
        "checkpoint", "with --init, whose statistics normalise", "policy"
    )
    # optimisation
    steps: int = _option(10_000, "optimiser steps", "optimisation", low=1, resumable=True)
    batch_size: int = _option(64, "frames per step and process", "optimisation", low=1)
    learning_rate: float = _option(
        3e-4, "peak rate of everything but the vision encoder", "optimisation", low=0.0
    )
    vision_lr_multiplier: float = _option(
        0.1, "the vision encoder's share of the learning rate; 0 freezes it", "optimisation", low=0.0
    )
    observation_lr_multiplier: float = _option(
        1.0,
        "the share of the learning rate of an observation's MLP (observation_layers) and of the "
        "instruction's projection before it; 0 freezes them",
        "optimisation",
        low=0.0,
    )
    loss: Literal["mse", "l1"] = _option(
        "mse",
        "what errors count by: their squares, as in LeRobot, or their size, which is more precise where "
        "demonstrations differ in when they move",
        "optimisation",
    )
    warmup_steps: int = _option(200, "steps over which the rate rises from 0", "optimisation", low=0)
    weight_decay: float = _option(1e-4, "AdamW's decoupled weight decay", "optimisation", low=0.0)
    beta1: float = _option(0.95, "AdamW's decay of the gradient's mean", "optimisation", low=0.0, below=1.0)
    beta2: float = _option(
        0.999, "AdamW's decay of the gradient's square", "optimisation", low=0.0, below=1.0
    )
    gradient_clip: float = _option(1.0, "largest norm of the gradient", "optimisation", low=1e-9)
    ema_decay: float = _option(
        0.999,
        "decay of the averaged weights that are saved; 0 saves the last",
        "optimisation",
        low=0.0,
        below=1.0,
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = _option(
        "no", "what the network computes in; its weights stay float32", "optimisation"
    )
    # what an example is
    balance_tasks: bool = _option(
        True, "draw every task equally often, however many frames it has", "sampling"
    )
    task_weights: dict[str, float] = field(
        default_factory=dict,
        metadata=_about(
            "how often a task is drawn, as INSTRUCTION=WEIGHT; 1 where it is not named", "sampling"
        ),
    )
    instruction_dropout: float = _option(
        0.1,
        "share of examples without their instruction, which makes guidance possible",
        "sampling",
        low=0.0,
        below=1.0,
    )
    drop_idle: float = _option(
        0.0,
        "leave pauses out of the demonstrations: frames in which every joint is slower than this share of "
        "its own fast speed; 0 keeps them",
        "sampling",
        low=0.0,
        below=1.0,
    )
    augmentation: float = _option(
        0.0,
        "strength of random brightness, contrast, saturation and hue; 1 is strong",
        "sampling",
        low=0.0,
        below=2.0,
    )
    # watching
    validation: float = _option(
        0.0, "share of each task's episodes that is held out and scored", "watching", low=0.0, below=1.0
    )
    validate_every: int = _option(1000, "steps between scores", "watching", low=1, resumable=True)
    log_every: int = _option(50, "steps between lines of the log", "watching", low=1, resumable=True)
    # keeping
    checkpoint_every: int = _option(1000, "steps between checkpoints", "keeping", low=1, resumable=True)
    keep: int = _option(
        2, "newest checkpoints that are kept, beside the best", "keeping", low=1, resumable=True
    )
    # the machine
    seed: int = _option(0, "of weights, batches and noise", "machine", low=0)
    device: Literal["auto", "cpu"] = _option(
        "auto", "a GPU where there is one, or the CPU", "machine", resumable=True
    )
    threads: int = _option(0, "CPU threads; 0 leaves torch's choice", "machine", low=0, resumable=True)

    def __post_init__(self) -> None:
        problems = Problems("")
        for each in fields(self):
            low, below, value = each.metadata["low"], each.metadata["below"], getattr(self, each.name)
            # Written so that NaN fails.
            if low is not None and not (value >= low and math.isfinite(value)):
                problems.add(each.name, f"at least {low}", f"{value}")
            if below is not None and not value < below:
                problems.add(each.name, f"less than {below}", f"{value}")
        for task, weight in self.task_weights.items():
            if not (weight >= 0 and math.isfinite(weight)):
                problems.add(f"task_weights: {task!r}", "0 or more", f"{weight}")
        if self.task_weights and not self.balance_tasks:
            problems.add("task_weights", "balance_tasks to be on", "task weights without it")
        if self.init and self.policy:
            problems.add("policy", "none with init, whose network has its options", f"{sorted(self.policy)}")
        problems.raise_if_any(TrainingError, "These training options make no sense")

    def to_mapping(self) -> dict[str, Any]:
        """As plain values, for a file."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


def config_from_mapping(mapping: Mapping[str, Any], source: str) -> TrainConfig:
    """Read options from a file or a command line; TrainingError names unknown ones and wrong types."""
    try:
        return decode_dataclass(TrainConfig, mapping, source)
    except CheckpointError as error:  # the decoder's name for a mistake
        raise TrainingError(str(error)) from None


def check_resumable(before: TrainConfig, now: TrainConfig) -> None:
    """A resumed run must go on as it began; TrainingError lists what would change it."""
    problems = Problems("")
    for each in fields(TrainConfig):
        old, new = getattr(before, each.name), getattr(now, each.name)
        if old != new and not each.metadata["resumable"]:
            problems.add(each.name, f"{old!r} as the run began", f"{new!r}")
    allowed = ", ".join(each.name for each in fields(TrainConfig) if each.metadata["resumable"])
    problems.raise_if_any(TrainingError, f"A resumed run may change only {allowed}; {UNCHANGEABLE_HINT}")
