# SPDX-License-Identifier: Apache-2.0
"""Builds a new policy with pretrained encoders."""

import logging
from typing import Any

from torch import Tensor
from transformers import CLIPTextModel

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint._encoder_files import read_encoder_files
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import FAMILIES
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions


def pretrained_policy(config: PolicyConfig) -> tuple[DiTPolicy, TaskTokenizer]:
    """Build a policy with the encoders that ``config`` names.

    The transformer gets random weights from torch's global generator, so that a seed determines them.

    Args:
        config: its ``vision_encoder_name`` and ``text_encoder_name`` are folders, or names on the hub. Those
            not in the local cache are downloaded.

    Returns:
        The policy, and the tokenizer of its text encoder.

    Raises:
        CheckpointError: an encoder cannot be loaded, is of another family, lacks weights, or does not accept
            images of this size.
    """
    files = read_encoder_files(None, config, TokenizerOptions.of(config))
    text = _weights(CLIPTextModel, config.text_encoder_name)
    vision = {}
    if config.image_features:
        vision = _weights(FAMILIES[config.vision_encoder_family].model, config.vision_encoder_name)
    policy = DiTPolicy(config, files.vision, files.text)
    encoder = policy.observation_encoder
    encoder.text_encoder.text_encoder.load_state_dict(text)
    for each in encoder.vision_encoders or [encoder.vision_encoder]:
        if each is not None:
            each.model.load_state_dict(vision)  # type: ignore[operator]  # a ModuleList hides what it holds
    return policy, files.tokenizer


def _weights(model: type[Any], place: str) -> dict[str, Tensor]:
    """Load an encoder's pretrained weights; missing ones are an error (transformers would randomise them)."""
    log = logging.getLogger("transformers.modeling_utils")
    level = log.level
    # It would report every unused weight of an image-text pair. Missing weights are checked below.
    log.setLevel(logging.ERROR)
    try:
        loaded, report = model.from_pretrained(place, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"new policy: cannot load weights from {place!r}: {error}") from error
    finally:
        log.setLevel(level)
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"new policy: {place!r} lacks {len(missing)} tensors of {model.__name__}, first {missing[0]}"
        )
    return loaded.state_dict()
