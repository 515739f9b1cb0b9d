# SPDX-License-Identifier: Apache-2.0
"""Builds the policy that a training run starts with: a new one, or that of a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from dit_policy_ros.core.wordings import WordingModel
from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.checkpoint import Checkpoint, KnownInstructions, pretrained_policy
from dit_policy_ros.policy.config import PolicyConfig, decode
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import packaged_image_statistics
from dit_policy_ros.policy.processing import Stats, TaskTokenizer, read_stats
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy._adapt import Adaptation, adapt
from dit_policy_ros.training.new_policy._new_policy import DataShape, new_policy_config
from dit_policy_ros.training.new_policy._same_robot import check_same_robot
from dit_policy_ros.training.new_policy._small_policy import (
    PRETRAINED_RESIZED,
    RESIZED,
    build_demo_policy,
)
from dit_policy_ros.training.new_policy._spread import spread_instructions


@dataclass(frozen=True, slots=True)
class InitialPolicy:
    """The policy that a training run starts with."""

    policy: DiTPolicy
    tokenizer: TaskTokenizer
    stats: Stats | None = None  # what they lack, and None: the statistics of the training data
    known_tasks: tuple[str, ...] = ()  # tasks that it was trained on before, with this robot
    adaptation: Adaptation | None = None  # if its weights are of another robot
    instructions: KnownInstructions | None = None  # of the trainings before
    wordings: WordingModel | None = None  # of the trainings before, or of this one


def image_read_size(config: TrainConfig, checkpoint: Checkpoint | None) -> tuple[int, int] | None:
    """(height, width) [pixel] to which the policy reduces images; they are kept in this size."""
    name = "image_resize_shape"
    if name in config.policy:
        return decode(config.policy[name], tuple[int, int] | None, f"--policy: {name}")
    if checkpoint is not None:
        return checkpoint.config.image_resize_shape
    return {"small": RESIZED, "pretrained": PRETRAINED_RESIZED}.get(config.network)


def initial_policy(
    config: TrainConfig,
    data: Demonstrations,
    checkpoint: Checkpoint | None,
    wordings: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> InitialPolicy:
    """The policy to train.

    Args:
        config: the run's options.
        data: the training data.
        checkpoint: of ``config.init``; None makes a new policy. New weights come from torch's global
            generator.
        wordings: by instruction; the vocabulary of a small network is learned from them.

    Raises:
        TrainingError: the checkpoint belongs to another robot, and ``config.adapt`` is not set, or it cannot
            be adapted.
        CheckpointError: an option of the policy is unknown or invalid, or an encoder cannot be loaded.
    """
    shape = DataShape.of(data)
    if checkpoint is not None and config.adapt:
        policy, adaptation = adapt(config, shape, checkpoint)
        stats = adaptation.kept_statistics(read_stats(checkpoint.folder), config) or {}
        stats = {**stats, **_encoders_own_statistics(checkpoint, policy.config)} or None
        return InitialPolicy(policy, checkpoint.encoder_files.tokenizer, stats, (), adaptation)
    if checkpoint is not None:
        check_same_robot(shape, checkpoint)
        if config.statistics == "checkpoint":
            stats = read_stats(checkpoint.folder)
        else:
            stats = _encoders_own_statistics(checkpoint, checkpoint.config) or None
        known = checkpoint.facts.known_tasks
        tokenizer = checkpoint.encoder_files.tokenizer
        return InitialPolicy(
            checkpoint.policy,
            tokenizer,
            stats,
            known,
            instructions=checkpoint.instructions,
            wordings=checkpoint.wordings,
        )
    options = new_policy_config(config, shape)
    texts = [text for task in data.tasks for text in wordings.get(task, (task,))]
    if config.network != "small":
        policy, tokenizer = pretrained_policy(options)
        if config.network == "pretrained" and options.text_tokens == "pooled":
            spread_instructions(policy, tokenizer, texts)
        return InitialPolicy(policy, tokenizer, encoder_image_statistics(options) or None)
    return InitialPolicy(*build_demo_policy(options, texts))


def _encoders_own_statistics(checkpoint: Checkpoint, config: PolicyConfig) -> Stats:
    """The image statistics of the encoder's own training, if the checkpoint was trained with them.

    They are for the cameras of ``config``. Those of other demonstrations would change what the encoder sees.
    """
    stats = read_stats(checkpoint.folder)
    for key, own in encoder_image_statistics(checkpoint.config).items():
        for name in ("mean", "std"):
            found = stats.get(key, {}).get(name)
            if found is None or found.shape != own[name].shape or not torch.allclose(found, own[name]):
                return {}
    return encoder_image_statistics(config)


def encoder_image_statistics(config: PolicyConfig) -> Stats:
    """Those that the vision encoder was trained with, by camera; none if they are not known."""
    known = packaged_image_statistics(config.vision_encoder_name)
    return {key: dict(known) for key in config.image_features} if known else {}
