# SPDX-License-Identifier: Apache-2.0
"""The first stage of the recipe ``demonstrations``: a new network that has learned no actions yet.

It learns what images and instruction together say of the coming motion, or its vision encoder learns to see
(``pretext``), from the demonstrations' own frames. Weights and batches are seeded.
"""

import json
from typing import Any

import numpy as np
import torch

from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.policy.checkpoint import FACTS_FILE, CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.inference import resolve_device
from dit_policy_ros.training.batches import BatchMaker, FrameRoles
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import image_read_size, initial_policy
from dit_policy_ros.training.pretext import (
    FrameImages,
    IntentFrames,
    PretextSettings,
    Targets,
    choose_frames,
    pretrain_intent,
    pretrain_vision,
)
from dit_policy_ros.training.reading import can_cache_features, frame_store
from dit_policy_ros.training.recipes._demonstrations_config import OF_THE_VISION_ENCODER, DemonstrationsConfig
from dit_policy_ros.training.recipes._stage_progress import reported_count, reported_steps
from dit_policy_ros.training.trainer import batch_options
from dit_policy_ros.training.wordings import read_wordings

_BATCH = 48  # images of a step of a vision encoder's pretext
_LEARNING_RATES = {"small": 1e-3, "pretrained": 1e-4}  # of that
_INTENT = {"batch_size": 64, "learning_rate": 1e-3, "weight_decay": 1e-4}


def taught_first(config: DemonstrationsConfig) -> str:
    """The pretext with which the initial checkpoint was made."""
    file = config.initial_checkpoint / FACTS_FILE
    made = json.loads(file.read_text())["training"] if file.is_file() else {}
    return made.get("pretext", config.taught_first)


def make_initial_checkpoint(config: DemonstrationsConfig) -> None:
    """Write a checkpoint that has learned nothing but, with ``pretext``, to see."""
    options = config.train_config()
    config.work.mkdir(parents=True, exist_ok=True)
    data = read_demonstrations(options.dataset, size=image_read_size(options, None), stream=True)
    config = config.for_instructions(len(config.tasks or data.tasks), bool(data.image_sizes))
    options = config.train_config()
    if config.pretext in OF_THE_VISION_ENCODER and not data.image_sizes:
        raise TrainingError("--pretext: expected demonstrations with cameras, got none; leave it at none")
    wordings = {}
    if config.paraphrases:
        wordings = read_wordings(config.paraphrases).of_all(data.tasks)
    torch.manual_seed(config.seed)
    initial = initial_policy(options, data, None, wordings)
    policy, device = initial.policy, resolve_device(config.device)
    # Without pauses, as the run reads them: relative actions are larger then.
    batches = BatchMaker(data, policy, initial.tokenizer, initial.stats, batch_options(options, wordings))
    training: dict[str, Any] = {"recipe": "demonstrations", "pretext": config.taught_first}
    if config.taught_first != "none":
        learn = _learn_intent if config.taught_first == "intent" else _learn_from_frames
        training["pretext_error"] = learn(config, batches, policy, device)
        policy.to("cpu")
    facts = CheckpointFacts(
        fps=data.fps,
        joint_names=data.state_names,
        action_names=None if data.action_names == data.state_names else data.action_names or (),
        training=training,
    )
    write_checkpoint(config.initial_checkpoint, policy, batches.stats, facts, initial.tokenizer)


def _roles(config: DemonstrationsConfig, batches: BatchMaker) -> FrameRoles:
    """What the run will use each frame for; a pretext uses those that are trained on."""
    roles = FrameRoles.of(batches, config.train_config(), batches.config)
    if not roles.trained_on.any():
        raise TrainingError("--pretext: no frame of the demonstrations is left to learn from")
    return roles


def _learn_intent(
    config: DemonstrationsConfig, batches: BatchMaker, policy: DiTPolicy, device: torch.device
) -> float:
    """Teach the network the coming motion; returns its mean error in frames that it has not seen [rad, m]."""
    policy.to(device)
    roles, options, encoded = _roles(config, batches), config.train_config(), None
    with reported_count("images: intent") as report:
        if config.frame_store and can_cache_features(options, policy.config):  # the run needs them all
            wanted, store = roles.with_images(batches, policy.config), frame_store(options)
            encoded = batches.encode_frames(policy, wanted, report, store)
        chosen = IntentFrames.choose(
            batches, policy, roles.trained_on, config.most_pretext_frames, report, encoded
        )
    settings = PretextSettings(config.pretext_steps, seed=config.seed, **_INTENT)
    with reported_steps("instruction: intent", config.pretext_steps) as report:
        errors = pretrain_intent(policy, batches, chosen, settings, report=report)
    return float(np.nanmean(errors))


def _learn_from_frames(
    config: DemonstrationsConfig, batches: BatchMaker, policy: DiTPolicy, device: torch.device
) -> float:
    """Train the vision encoder; returns its mean error on frames that it has not seen [rad or m]."""
    encoder = policy.observation_encoder
    vision, data = encoder.vision_encoder, batches.data
    if vision is None:
        raise ValueError("the recipe's networks have one vision encoder for all cameras")
    keys, predicted = list(batches.config.image_features), config.taught_first
    if predicted not in OF_THE_VISION_ENCODER:
        raise ValueError(f"{predicted!r} teaches no vision encoder")
    chosen = choose_frames(
        data, keys, _roles(config, batches).trained_on, config.most_pretext_frames, predicted
    )
    images = FrameImages(chosen, [batches.scales[key] for key in keys], encoder, config.augmentation, device)
    encoder.to(device).train()
    settings = PretextSettings(
        config.pretext_steps, _BATCH, _LEARNING_RATES[config.network], 1e-4, config.seed
    )
    with reported_steps(f"vision: {predicted}", config.pretext_steps) as report:
        errors = pretrain_vision(vision, images, Targets(chosen.targets), settings, report=report)
    encoder.eval()
    return float(np.nanmean(errors))
