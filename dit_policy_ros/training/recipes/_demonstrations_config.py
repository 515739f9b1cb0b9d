# SPDX-License-Identifier: Apache-2.0
"""The options of the recipe ``demonstrations``."""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError

type Pretext = Literal["auto", "none", "joints", "coming", "intent"]

OF_THE_VISION_ENCODER = ("joints", "coming")
"""Pretexts that teach the vision encoder alone."""

_FEW_FRAMES, _MANY_FRAMES = 4_000, 12_000
_PLACES: dict[str, Any] = {"heads_per_camera": True, "observation_width": 384}
_TRAINING: dict[str, Any] = {"batch_size": 64, "learning_rate": 5e-4, "loss": "l1", "drop_idle": 0.1}


@dataclass(frozen=True, slots=True)
class DemonstrationsConfig:
    """Options of the recipe. Each can be measured by itself: the defaults are the plain training."""

    dataset: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()  # instructions to learn; empty: all of the datasets
    balance_tasks: bool = True  # draw every task equally often, however many frames it has
    example_stride: int = 1
    frame_store: str = ""  # folder for the features of a frozen encoder; empty: in memory
    output: Path = Path("out/demonstrations")  # folder of the training run
    work: Path = Path("out/train_demonstrations")  # where the first stage keeps its result
    network: Literal["small", "pretrained"] = "pretrained"
    pretext: Pretext = "auto"  # intent for several instructions, if the network has an observation's MLP
    pretext_steps: int = 4_000
    pretext_frames: int = 0  # at most; 0: see most_pretext_frames
    augmentation: float = 0.0
    vision_lr_multiplier: float = 0.0  # 0: frozen, and the features of all images are computed once
    conditioning: Literal["adaln", "cross_attention", "joint"] = "adaln"
    objective: Literal["diffusion", "flow_matching"] = "diffusion"
    trained_delay: int = 0
    gripper_scale: float = 1.0
    policy: Mapping[str, Any] = field(default_factory=dict)  # further options of the network
    relative_actions: bool = True
    paraphrases: str = ""
    validation: float = 0.0
    steps: int = 20_000  # of the policy
    seed: int = 0
    device: str = "auto"
    threads: int = 2

    def __post_init__(self) -> None:
        if not self.dataset:
            raise TrainingError("--recipe demonstrations: expected --dataset FOLDER, got none")
        for name, least in (("pretext_steps", 1), ("pretext_frames", 0), ("example_stride", 1)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise TrainingError(f"--{option}: expected at least {least}, got {getattr(self, name)}")
        if self.augmentation and not self.vision_lr_multiplier and self.pretext not in OF_THE_VISION_ENCODER:
            raise TrainingError(
                "--augmentation: expected --vision-lr-multiplier above 0, or --pretext joints or coming, got "
                "a frozen encoder, whose features are computed once, of images as they are"
            )
        if self.pretext == "intent" and not self.has_observation_layers:
            raise TrainingError(
                "--pretext intent: expected --conditioning adaln and --policy observation_layers of 1 or "
                "more, which it teaches; give --pretext none otherwise"
            )

    @property
    def has_observation_layers(self) -> bool:
        """Whether the network reads images, states and instruction together before its actions."""
        options = self.policy_options()
        return options["conditioning"] == "adaln" and bool(options["observation_layers"])

    @property
    def taught_first(self) -> Pretext:
        """The pretext that ``auto`` stands for: an encoder that cannot see yet cannot be asked for intent."""
        if self.pretext != "auto":
            return self.pretext
        return "intent" if self.network == "pretrained" and self.has_observation_layers else "none"

    @property
    def most_pretext_frames(self) -> int:
        """The most frames that the pretext uses.

        Where features are kept in files all are there anyway. Otherwise those of the intent are encoded again
        for the run, and the vision encoder's pretexts have their images in memory.
        """
        if self.pretext_frames:
            return self.pretext_frames
        if self.taught_first != "intent":
            return _FEW_FRAMES
        return sys.maxsize if self.frame_store else _MANY_FRAMES

    @property
    def initial_checkpoint(self) -> Path:
        """The checkpoint after the first stage."""
        return self.work / "start"

    def for_instructions(self, count: int, has_cameras: bool = True) -> "DemonstrationsConfig":
        """These options with the defaults for a number of instructions, of a robot with cameras or without.

        One alone has nothing to ask for: squares of the image side by side tell more than places, and are
        what was measured for one task (docs/results.md). For several, each camera has heads of its own, and
        the MLP that reads them is wider than the rest of the network.
        """
        if self.network != "pretrained" or self.conditioning != "adaln":
            return self
        if count == 1:
            policy = {"image_pooling": "grid", **self.policy} if has_cameras else self.policy
            pretext: Pretext = "none" if self.pretext == "auto" else self.pretext
            return dataclasses.replace(self, policy=policy, pretext=pretext)
        pooling = self.policy.get("image_pooling", "attention")
        if not has_cameras or pooling != "attention" or not self.has_observation_layers:
            return self
        return dataclasses.replace(self, policy=_PLACES | dict(self.policy))

    def policy_options(self) -> dict[str, Any]:
        """Options of the network, as ``--policy``."""
        options: dict[str, Any] = {"conditioning": self.conditioning, "objective": self.objective}
        if self.objective == "flow_matching":
            options["num_integration_steps"] = 10
        options["trained_delay"] = self.trained_delay
        if self.conditioning != "adaln":  # tokens of the patches, whose places are known
            options |= {"observation_layers": 0, "image_pooling": "mean", "hidden_dim": 128}
            if self.network == "pretrained":
                options |= {"text_tokens": "all", "vision_stride": 0}
        else:
            options |= {"observation_layers": 2, "hidden_dim": 128}
        return options | dict(self.policy)

    def train_config(self) -> TrainConfig:
        """Options of the training run with a new network."""
        frozen = self.vision_lr_multiplier == 0.0
        return TrainConfig(
            dataset=self.dataset,
            tasks=self.tasks,
            balance_tasks=self.balance_tasks,
            example_stride=self.example_stride,
            frame_store=self.frame_store,
            network=self.network,
            policy=self.policy_options(),
            relative_actions=self.relative_actions,
            gripper_scale=self.gripper_scale,
            augmentation=0.0 if frozen else self.augmentation,
            vision_lr_multiplier=self.vision_lr_multiplier,
            paraphrases=self.paraphrases,
            validation=self.validation,
            steps=self.steps,
            seed=self.seed,
            device=self.device,
            threads=self.threads,
            **_TRAINING,
        )
