# SPDX-License-Identifier: Apache-2.0
"""Builds the policy that a training run starts with: a new one, or that of a checkpoint.

Shapes: A action entries.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.checkpoint import Checkpoint, pretrained_policy
from dit_policy_ros.policy.config import (
    EXTENDED_TYPE,
    EXTENSIONS,
    Feature,
    FeatureType,
    NormalizationMode,
    PolicyConfig,
    decode,
)
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import Stats, TaskTokenizer, read_stats
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy._small_policy import RESIZED, build_demo_policy, demo_config


@dataclass(frozen=True, slots=True)
class InitialPolicy:
    """The policy that a training run starts with."""

    policy: DiTPolicy
    tokenizer: TaskTokenizer
    stats: Stats | None = None  # None: normalise by the statistics of the training data
    known_tasks: tuple[str, ...] = ()  # tasks that it was trained on before


def image_read_size(config: TrainConfig, checkpoint: Checkpoint | None) -> tuple[int, int] | None:
    """(height, width) [pixel] to which the policy reduces images; they are kept in this size."""
    if checkpoint is not None:
        return checkpoint.config.image_resize_shape
    name = "image_resize_shape"
    if name in config.policy:
        return decode(config.policy[name], tuple[int, int] | None, f"--policy: {name}")
    return RESIZED if config.network == "small" else None


def initial_policy(config: TrainConfig, data: Demonstrations, checkpoint: Checkpoint | None) -> InitialPolicy:
    """The policy to train.

    Args:
        config: the run's options.
        data: the training data.
        checkpoint: of ``config.init``; None makes a new policy, with random weights from torch's global
            generator.

    Raises:
        TrainingError: the checkpoint belongs to another robot.
        CheckpointError: an option of the policy is unknown or invalid, or an encoder cannot be loaded.
    """
    if checkpoint is not None:
        _check_same_robot(data, checkpoint)
        stats = read_stats(checkpoint.folder) if config.statistics == "checkpoint" else None
        known = checkpoint.facts.known_tasks
        return InitialPolicy(checkpoint.policy, checkpoint.encoder_files.tokenizer, stats, known)
    options = new_policy_config(config, data)
    if config.network == "clip":
        return InitialPolicy(*pretrained_policy(options))
    return InitialPolicy(*build_demo_policy(options, data.tasks))


def new_policy_config(config: TrainConfig, data: Demonstrations) -> PolicyConfig:
    """The configuration of a new policy for the robot of the training data."""
    state, action = data.state.shape[1], data.action.shape[1]
    if config.network == "small":
        base = demo_config(data.image_shapes, state, action)
    else:
        images = {
            f"{IMAGE_PREFIX}{name}": Feature(FeatureType.VISUAL, (3, *shape))
            for name, shape in data.image_shapes.items()
        }
        base = PolicyConfig(
            input_features={**images, STATE_KEY: Feature(FeatureType.STATE, (state,))},
            output_features={ACTION_KEY: Feature(FeatureType.ACTION, (action,))},
        )
    base = dataclasses.replace(
        base,
        optimizer_lr=config.learning_rate,
        optimizer_betas=(config.beta1, config.beta2),
        optimizer_weight_decay=config.weight_decay,
        scheduler_warmup_steps=config.warmup_steps,
        vision_encoder_lr_multiplier=config.vision_lr_multiplier,
    )
    given = dict(config.policy)
    if config.relative_actions:
        given = _mean_std_actions(base) | given | {"relative_entries": relative_entries(config, data)}
    mapping = base.to_mapping() | {"drop_n_last_frames": base.drop_n_last_frames} | given
    if set(given) & set(EXTENSIONS):
        mapping["type"] = EXTENDED_TYPE
    return PolicyConfig.from_mapping(mapping, "--policy")


def _mean_std_actions(base: PolicyConfig) -> dict[str, Any]:
    """Options that scale actions by their standard deviation, for relative actions.

    Most relative actions are much smaller than the largest. Scaled by their range, the errors of the joints
    would be negligible beside those of the grippers, which are either open or closed.
    """
    mapping = {kind: mode.value for kind, mode in base.normalization_mapping.items()}
    return {
        "normalization_mapping": mapping | {"ACTION": NormalizationMode.MEAN_STD.value},
        "clip_sample": False,
    }


def relative_entries(config: TrainConfig, data: Demonstrations) -> list[int]:
    """The action entries that are relative to the state: all joints but ``absolute_joints``.

    Raises:
        TrainingError: state and action have different joints, or no joint's name has a given part.
    """
    names = data.joint_names
    if not len(names) == data.state.shape[1] == data.action.shape[1]:
        raise TrainingError(
            f"--relative-actions: state ({data.state.shape[1]} entries) and action ({data.action.shape[1]}) "
            f"must both hold the dataset's joints ({len(names)})"
        )
    for part in config.absolute_joints:
        if part and not any(part in name for name in names):
            raise TrainingError(
                f"--absolute-joints: no joint has {part!r} in its name; the joints are {', '.join(names)}. "
                f"To make all joints relative use '--absolute-joints \"\"'"
            )
    return [i for i, name in enumerate(names) if not any(p and p in name for p in config.absolute_joints)]


def check_reachable(batches: BatchMaker, names: tuple[str, ...]) -> None:
    """TrainingError if sampling would clip demonstrated actions: the policy could never reach them."""
    config = batches.config
    if config.objective != "diffusion" or not config.clip_sample:
        return
    largest = batches.largest_actions()  # (A,)
    beyond = np.flatnonzero(largest > 1.05 * config.clip_sample_range)
    if len(beyond):
        named = ", ".join(names[i] if i < len(names) else f"entry {i}" for i in beyond)
        raise TrainingError(
            f"actions of {named} lie up to {largest.max():.2f} in normalised units, but the policy clips at "
            f"{config.clip_sample_range}: it could not reach them. Normalise by the new data (--statistics "
            f"dataset), or for a new policy choose another normalization_mapping or clip_sample_range"
        )


def _check_same_robot(data: Demonstrations, checkpoint: Checkpoint) -> None:
    facts = checkpoint.facts
    if facts.joint_names is not None and facts.joint_names != data.joint_names:
        raise TrainingError(
            f"--init {checkpoint.folder}: its joints are {', '.join(facts.joint_names)}; the dataset's are "
            f"{', '.join(data.joint_names)}. The order matters: record or convert the data in the same order"
        )
    if facts.fps is not None and facts.fps != data.fps:
        raise TrainingError(
            f"--init {checkpoint.folder}: its step is 1/{facts.fps:g} s; the dataset has {data.fps:g} Hz"
        )
