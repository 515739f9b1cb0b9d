# SPDX-License-Identifier: Apache-2.0
"""Trains a policy from LeRobotDatasets and nothing else: no simulator state, no stills with known content.

1. A new network. With ``pretext`` its vision encoder learns from the demonstrations' own frames to tell the
   joints, or how they will move.
2. An ordinary training run. With a frozen encoder the features of all images are computed once.

The first stage writes a checkpoint into the work folder and is skipped if that is there. Weights and batches
are seeded.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.encoders import ObservationEncoder
from dit_policy_ros.policy.inference import resolve_device
from dit_policy_ros.training.batches import BatchMaker, BatchOptions, split_frames
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import image_read_size, initial_policy
from dit_policy_ros.training.pretext import (
    FrameImages,
    PretextSettings,
    Targets,
    choose_frames,
    pretrain_vision,
)
from dit_policy_ros.training.recipes._cube_tasks import Train
from dit_policy_ros.training.recipes._stage_progress import reported_steps
from dit_policy_ros.training.trainer import RunFolder
from dit_policy_ros.training.wordings import read_wordings

logger = logging.getLogger(__name__)

type Pretext = Literal["none", "joints", "coming"]

RECIPE_FILE = "recipe.json"  # in the work folder and in the run's: the options that it was made with
# Options that a stage does not depend on.
_OF_THE_PLACE = {"output", "work", "device", "threads"}
_OF_THE_RUN = {"steps", "vision_lr_multiplier"}
_BATCH = 48  # images of a step of the first stage
_LEARNING_RATES = {"small": 1e-3, "pretrained": 1e-4}  # of the first stage
_TRAINING: dict[str, Any] = {"batch_size": 64, "learning_rate": 5e-4, "loss": "l1", "drop_idle": 0.1}


@dataclass(frozen=True, slots=True)
class DemonstrationsConfig:
    """Options of the recipe. Each can be measured by itself: the defaults are the plain training."""

    dataset: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()  # instructions to learn; empty: all of the datasets
    output: Path = Path("out/demonstrations")  # folder of the training run
    work: Path = Path("out/train_demonstrations")  # where the first stage keeps its result
    network: Literal["small", "pretrained"] = "pretrained"
    pretext: Pretext = "none"
    pretext_steps: int = 4_000
    pretext_frames: int = 4_000
    augmentation: float = 0.0
    vision_lr_multiplier: float = 0.0  # 0: frozen, and the features of all images are computed once
    conditioning: Literal["adaln", "cross_attention", "joint"] = "adaln"
    objective: Literal["diffusion", "flow_matching"] = "diffusion"
    trained_delay: int = 0
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
        for name in ("pretext_steps", "pretext_frames"):
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise TrainingError(f"--{option}: expected at least 1, got {getattr(self, name)}")
        if self.augmentation and not self.vision_lr_multiplier and self.pretext == "none":
            raise TrainingError(
                "--augmentation: expected --vision-lr-multiplier above 0 or a --pretext, got a frozen "
                "encoder, whose features are computed once, of images as they are"
            )

    @property
    def initial_checkpoint(self) -> Path:
        """The checkpoint after the first stage."""
        return self.work / "start"

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
            network=self.network,
            policy=self.policy_options(),
            relative_actions=self.relative_actions,
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


def run_demonstrations(config: DemonstrationsConfig, train: Train) -> int:
    """Run both stages; returns the exit code of the training run.

    Raises:
        DitPolicyError: the datasets or the options do not fit together.
    """
    folder, options = RunFolder(config.output), config.train_config()
    if folder.has_run:
        # An option that is not given has its default value, and the run keeps its own.
        _check_made_with(config, config.output, {*_OF_THE_PLACE, "steps"}, unless_default=True)
        return train(folder.resumed_config({"steps": config.steps, "device": config.device}), folder, True)
    torch.set_num_threads(config.threads)
    if config.initial_checkpoint.is_dir():
        _check_made_with(config, config.work, {*_OF_THE_PLACE, *_OF_THE_RUN})
    else:
        make_initial_checkpoint(config)
        _write_options(config, config.work)
    _write_options(config, config.output)
    started = dataclasses.replace(
        options, init=str(config.initial_checkpoint), network="small", policy={}, relative_actions=False
    )
    return train(started, folder, False)


def _options(config: DemonstrationsConfig) -> dict[str, Any]:
    """The options as JSON has them."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def _write_options(config: DemonstrationsConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RECIPE_FILE, json.dumps(_options(config), indent=2) + "\n")


def _check_made_with(
    config: DemonstrationsConfig, folder: Path, free: set[str], unless_default: bool = False
) -> None:
    """TrainingError lists the options that differ from those with which a folder's content was made.

    free: options that may differ. unless_default: options with their default value may differ, too.
    """
    file = folder / RECIPE_FILE
    if not file.exists():
        logger.warning(
            "%s was made by an earlier version: nobody can check that its options are these", folder
        )
        return
    try:
        before = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{folder} was made with options that are not known ({error}): remove it, or give another folder"
        ) from error
    now, problems = _options(config), Problems(str(file))
    defaults = _options(DemonstrationsConfig(config.dataset))
    before = before if isinstance(before, Mapping) else {}
    for name in now:
        is_free = name in free or (unless_default and now[name] == defaults[name] and name != "dataset")
        if before.get(name) != now[name] and not is_free:
            problems.add(f"--{name.replace('_', '-')}", f"{before.get(name)!r}", f"{now[name]!r}")
    problems.raise_if_any(
        TrainingError,
        f"{folder} was made with other options, which would stay. Give those again, or another folder "
        f"(--output, --work)",
    )


def make_initial_checkpoint(config: DemonstrationsConfig) -> None:
    """Write a checkpoint that has learned nothing but, with ``pretext``, to see."""
    options = config.train_config()
    config.work.mkdir(parents=True, exist_ok=True)
    data = read_demonstrations(options.dataset, size=image_read_size(options, None), stream=True)
    if config.pretext != "none" and not data.image_sizes:
        raise TrainingError("--pretext: expected demonstrations with cameras, got none; leave it at none")
    wordings = {}
    if config.paraphrases:
        wordings = read_wordings(config.paraphrases).of_all(data.tasks)
    torch.manual_seed(config.seed)
    initial = initial_policy(options, data, None, wordings)
    policy, device = initial.policy, resolve_device(config.device)
    encoder = policy.observation_encoder
    # Without pauses, as the run reads them: relative actions are larger then.
    batches = BatchMaker(data, policy, initial.tokenizer, options=BatchOptions(drop_idle=options.drop_idle))
    training: dict[str, Any] = {"recipe": "demonstrations", "pretext": config.pretext}
    if config.pretext != "none":
        training["pretext_error"] = _learn_from_frames(config, batches, encoder, device)
        policy.to("cpu")
    facts = CheckpointFacts(
        fps=data.fps,
        joint_names=data.state_names,
        action_names=None if data.action_names == data.state_names else data.action_names or (),
        training=training,
    )
    write_checkpoint(config.initial_checkpoint, policy, batches.stats, facts, initial.tokenizer)


def _learn_from_frames(
    config: DemonstrationsConfig, batches: BatchMaker, encoder: ObservationEncoder, device: torch.device
) -> float:
    """Train the vision encoder; returns its mean error on frames that it has not seen [rad or m]."""
    vision, data = encoder.vision_encoder, batches.data
    if config.pretext == "none" or vision is None:
        raise ValueError("the recipe's networks have one vision encoder for all cameras")
    policy_config = batches.config
    usable = split_frames(
        data,
        config.validation,
        config.seed,
        steps=policy_config.n_obs_steps,
        image_steps=policy_config.read_image_steps,
    ).usable
    if not usable.any():
        raise TrainingError("--pretext: no frame of the demonstrations is left to learn from")
    keys = list(policy_config.image_features)
    chosen = choose_frames(data, keys, usable, config.pretext_frames, config.pretext)
    images = FrameImages(chosen, [batches.scales[key] for key in keys], encoder, config.augmentation, device)
    encoder.to(device).train()
    settings = PretextSettings(
        config.pretext_steps, _BATCH, _LEARNING_RATES[config.network], 1e-4, config.seed
    )
    with reported_steps(f"vision: {config.pretext}", config.pretext_steps) as report:
        errors = pretrain_vision(vision, images, Targets(chosen.targets), settings, report=report)
    encoder.eval()
    return float(np.nanmean(errors))
