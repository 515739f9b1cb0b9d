# SPDX-License-Identifier: Apache-2.0
"""The options of a training run: one typed table that is also the command line."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.training.errors import TrainingError

UNCHANGEABLE_HINT = "start a new run with --init for other options"
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def _about(
    text: str,
    group: str,
    *,
    low: float | None = None,
    below: float | None = None,
    resumable: bool = False,
    repeated: str = "",
) -> dict[str, Any]:
    """What is known about a field.

    Args:
        text: its help.
        group: its heading in the help.
        low: the smallest valid value.
        below: valid values are less than this.
        resumable: whether a resumed run may change it.
        repeated: the console option that gives one entry of it, and may be repeated; empty for an option of
            the field's name that takes all entries at once.
    """
    return {
        "help": text,
        "group": group,
        "low": low,
        "below": below,
        "resumable": resumable,
        "repeated": repeated,
    }


def _option(default: Any, text: str, group: str, **about: Any) -> Any:
    return field(default=default, metadata=_about(text, group, **about))


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Options of one training run.

    The fields' names are the keys of ``train.yaml`` and, with dashes, the console options. ``tasks`` is a
    list in the file and a repeated ``--task`` on the console.
    """

    dataset: tuple[str, ...] = _option(
        (),
        "folders of LeRobotDatasets v3, or their ids on the hub (owner/name); several are read as one",
        "data",
    )
    cameras: tuple[str, ...] = _option((), "cameras to use; default: all of the dataset", "data")
    state_features: tuple[str, ...] = _option(
        (),
        "further vectors of the dataset that the policy reads beside the state, as effort; default: none, "
        "and with --init but without --adapt those of the checkpoint",
        "data",
    )
    tasks: tuple[str, ...] = _option(
        (), "an instruction to train on; repeat for several; default: all", "data", repeated="--task"
    )
    example_stride: int = _option(
        1,
        "begin examples only at every so many frames of an episode: neighbours are nearly alike, and a "
        "frozen encoder then reads fewer images",
        "data",
        low=1,
    )
    use_flagged: bool = _option(
        False, "also train on frames and episodes that the recorder flagged as bad", "data"
    )
    use_failures: bool = _option(False, "also train on episodes that the operator labelled failures", "data")
    use_overruled: bool = _option(
        False, "also train on what a policy did before a person took over from it in the same episode", "data"
    )
    frame_store: str = _option(
        "",
        "folder for decoded images, or for their features if the vision encoder is frozen: for what is "
        "larger than memory, is shared by processes or is used again; default: keep them in memory",
        "data",
        resumable=True,
    )

    stream: bool | None = _option(
        None,
        "decode the images of each batch from the dataset's files instead of keeping all decoded images; "
        "default: only if they fit neither memory nor --frame-store",
        "data",
        resumable=True,
    )
    workers: int = _option(
        0,
        "when streaming, processes that decode, for each process that trains; 0: the free cores, at most 8",
        "data",
        low=0,
        resumable=True,
    )

    init: str = _option("", "checkpoint to start from, with its network and options", "policy")
    adapt: bool = _option(
        False,
        "with --init, the checkpoint is of another robot: keep its vision, text and transformer weights, and "
        "make the layers of joints and cameras anew",
        "policy",
    )
    unified_actions: bool = _option(
        False,
        "the datasets are of several robots: train one network whose state and action are named slots, and "
        "export it to each robot afterwards (dit_policy export_robot)",
        "policy",
    )
    slots: dict[str, Any] = field(
        default_factory=dict,
        metadata=_about(
            "with --unified-actions, the slot of an entry whose name does not say it, as "
            "waist=left_arm_joint_1; ROBOT/NAME=SLOT for one robot",
            "policy",
        ),
    )
    camera_slots: dict[str, Any] = field(
        default_factory=dict,
        metadata=_about(
            "with --unified-actions, the shared name of a camera that robots name differently, as "
            "NAME=SHARED or ROBOT/NAME=SHARED",
            "policy",
        ),
    )
    network: Literal["small", "pretrained", "clip"] = _option(
        "small",
        "the new network: small, trained from scratch (two CPU cores suffice); pretrained, as small with "
        "pretrained encoders that pip installs (requirements/encoders.txt) or that --policy names; or clip, "
        "LeRobot's sizes with pretrained CLIP encoders",
        "policy",
    )
    policy: dict[str, Any] = field(
        default_factory=dict,
        metadata=_about(
            "options of the new network as NAME=VALUE, as in its config.json (docs/policy.md)", "policy"
        ),
    )
    relative_actions: bool = _option(
        False,
        "the new network predicts actions relative to the newest observed state: more precise near the goal, "
        "and it generalises over positions; LeRobot cannot load such a checkpoint",
        "policy",
    )
    absolute_joints: tuple[str, ...] = _option(
        ("gripper",), "with --relative-actions, parts of the names of joints that stay absolute", "policy"
    )
    gripper_scale: float = _option(
        1.0,
        "divide the normalised actions of grippers by this, so that the noise of a warm start covers them; "
        "10 in the literature (docs/inference.md)",
        "policy",
        low=1.0,
    )
    statistics: Literal["checkpoint", "dataset"] = _option(
        "checkpoint", "with --init, the statistics to normalise by", "policy"
    )

    steps: int = _option(10_000, "optimiser steps", "optimisation", low=1, resumable=True)
    batch_size: int = _option(64, "frames of a batch of each process", "optimisation", low=1)
    accumulate: int = _option(
        1,
        "batches whose gradients make one step: as a batch that many times as large, in the memory of one",
        "optimisation",
        low=1,
    )
    learning_rate: float = _option(
        3e-4, "peak learning rate of all but the vision encoder", "optimisation", low=0.0
    )
    vision_lr_multiplier: float = _option(
        0.1, "the vision encoder's learning rate as a share of it; 0 freezes it", "optimisation", low=0.0
    )
    observation_lr_multiplier: float = _option(
        1.0,
        "learning rate, as a share, of the observation's MLP (observation_layers) and of the instruction's "
        "projection before it; 0 freezes them",
        "optimisation",
        low=0.0,
    )
    loss: Literal["mse", "l1"] = _option(
        "mse",
        "mse: squared errors, as in LeRobot; l1: absolute errors, more precise where demonstrations differ "
        "in when they move",
        "optimisation",
    )
    warmup_steps: int = _option(200, "steps over which the learning rate rises from 0", "optimisation", low=0)
    weight_decay: float = _option(1e-4, "AdamW's decoupled weight decay", "optimisation", low=0.0)
    beta1: float = _option(0.95, "AdamW's decay of the gradient's mean", "optimisation", low=0.0, below=1.0)
    beta2: float = _option(
        0.999, "AdamW's decay of the gradient's square", "optimisation", low=0.0, below=1.0
    )
    gradient_clip: float = _option(1.0, "largest norm of the gradient", "optimisation", low=1e-9)
    ema_decay: float = _option(
        0.999,
        "decay of the moving average of the weights (EMA) that is saved; 0 saves the last weights",
        "optimisation",
        low=0.0,
        below=1.0,
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = _option(
        "no", "precision of the computation; weights stay float32", "optimisation"
    )

    balance_tasks: bool = _option(
        True, "draw every task equally often, however many frames it has", "sampling"
    )
    intervention_weight: float = _option(
        1.0,
        "how often a frame in which a person corrected a policy is drawn, relative to another one of its "
        "task; 1 draws all alike",
        "sampling",
        low=0.01,
    )
    task_weights: dict[str, float] = field(
        default_factory=dict,
        metadata=_about(
            "how often a task is drawn, as INSTRUCTION=WEIGHT; 1 for tasks that are not named", "sampling"
        ),
    )
    paraphrases: str = _option(
        "",
        "YAML file of other wordings of the instructions, or of a grammar of them: each example gets one at "
        "random (docs/training.md)",
        "sampling",
    )
    instruction_dropout: float = _option(
        0.1,
        "share of examples that lose their instruction; guidance needs it",
        "sampling",
        low=0.0,
        below=1.0,
    )
    drop_idle: float = _option(
        0.0,
        "skip pauses in the demonstrations: frames where every joint is slower than this share of its own "
        "fast speed; 0 keeps them",
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

    validation: float = _option(
        0.0,
        "share of each task's episodes that is held out and scored",
        "validation and log",
        low=0.0,
        below=1.0,
    )
    validate_every: int = _option(
        1000, "steps between validations", "validation and log", low=1, resumable=True
    )
    log_every: int = _option(
        50, "steps between lines of the log", "validation and log", low=1, resumable=True
    )
    wandb: bool = _option(
        False,
        "also send the figures to Weights & Biases (pip install .[wandb]; docs/training.md)",
        "validation and log",
        resumable=True,
    )

    checkpoint_every: int = _option(1000, "steps between checkpoints", "checkpoints", low=1, resumable=True)
    keep: int = _option(
        2, "how many of the newest checkpoints to keep, beside the best", "checkpoints", low=1, resumable=True
    )

    push_to_hub: str = _option(
        "",
        "USER/NAME on the Hugging Face hub, which gets the last checkpoint and a model card when the run is "
        "finished",
        "checkpoints",
        resumable=True,
    )
    hub_public: bool = _option(
        False,
        "everybody may see a repository that --push-to-hub creates; otherwise it is private",
        "checkpoints",
        resumable=True,
    )

    seed: int = _option(0, "seed of weights, batches and noise", "machine", low=0)
    device: str = _option(
        "auto", "auto (a GPU if there is one), cpu, cuda or cuda:N", "machine", resumable=True
    )
    shard: bool = _option(
        False,
        "with several processes, split weights, averages and optimiser state among them (FSDP), so that each "
        "holds its share; default: each holds all (DDP)",
        "machine",
        resumable=True,
    )
    threads: int = _option(0, "CPU threads; 0 leaves it to torch", "machine", low=0, resumable=True)

    def __post_init__(self) -> None:
        problems = Problems("")
        for each in fields(self):
            low, below, value = each.metadata["low"], each.metadata["below"], getattr(self, each.name)
            # Written so that NaN is refused.
            if low is not None and not (value >= low and math.isfinite(value)):
                problems.add(each.name, f"at least {low}", f"{value}")
            if below is not None and not value < below:
                problems.add(each.name, f"less than {below}", f"{value}")
        for task, weight in self.task_weights.items():
            if not (weight >= 0 and math.isfinite(weight)):
                problems.add(f"task_weights: {task!r}", "0 or more", f"{weight}")
        if self.task_weights and not self.balance_tasks:
            problems.add("task_weights", "balance_tasks to be on", "task weights without it")
        self._check_unified(problems)
        if self.adapt and not self.init:
            problems.add("adapt", "init to name the checkpoint of the other robot", "none")
        if self.init and self.policy and not self.adapt:
            problems.add(
                "policy",
                "none together with init, because the network has the checkpoint's options",
                f"{sorted(self.policy)}",
            )
        if self.init and self.state_features and not self.adapt:
            problems.add(
                "state_features",
                "none together with init, because the network reads the checkpoint's",
                f"{list(self.state_features)}",
            )
        if self.shard and self.mixed_precision == "fp16":
            problems.add(
                "mixed_precision",
                "no or bf16 together with shard, because fp16's loss scale does not know of parts of weights",
                "'fp16'",
            )
        if not _DEVICE.fullmatch(self.device):
            problems.add("device", "auto, cpu, cuda or cuda:N", f"{self.device!r}")
        problems.raise_if_any(TrainingError, "Invalid training options")

    def _check_unified(self, problems: Problems) -> None:
        if not self.unified_actions:
            for name in ("slots", "camera_slots"):
                if getattr(self, name):
                    problems.add(name, "unified_actions to be on", f"{name} without it")
            return
        for name, why in (
            ("init", "start a new network, and adapt what is exported for one robot"),
            ("state_features", "the robots share no further vectors"),
            ("push_to_hub", "export a robot and put it there with dit_policy push_to_hub"),
        ):
            if getattr(self, name):
                problems.add(name, "none together with unified_actions", f"{getattr(self, name)!r}; {why}")

    def to_mapping(self) -> dict[str, Any]:
        """As plain values, for a YAML file."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


def config_from_mapping(mapping: Mapping[str, Any], source: str) -> TrainConfig:
    """Options from a file or a command line; TrainingError names unknown ones and wrong types."""
    try:
        from dit_policy_ros.policy.config import decode_dataclass  # imports torch, which takes seconds

        return decode_dataclass(TrainConfig, mapping, source)
    except CheckpointError as error:  # the decoder raises it for every kind of file
        raise TrainingError(str(error)) from None


def check_resumable(before: TrainConfig, now: TrainConfig) -> None:
    """TrainingError lists the options that would change the result of a resumed run."""
    problems = Problems("")
    for each in fields(TrainConfig):
        old, new = getattr(before, each.name), getattr(now, each.name)
        if old != new and not each.metadata["resumable"]:
            problems.add(each.name, f"{old!r} as when the run began", f"{new!r}")
    allowed = ", ".join(each.name for each in fields(TrainConfig) if each.metadata["resumable"])
    problems.raise_if_any(TrainingError, f"A resumed run may change only {allowed}; {UNCHANGEABLE_HINT}")
