# SPDX-License-Identifier: Apache-2.0
"""A new policy whose encoders know images and words already."""

import logging
from typing import Any

from torch import Tensor
from transformers import CLIPTextModel

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint._clip_files import read_clip_files
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import FAMILIES
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions


def pretrained_policy(config: PolicyConfig) -> tuple[DiTPolicy, TaskTokenizer]:
    """Build a policy around the encoders that ``config`` names.

    The transformer gets random weights from torch's global generator; so that two policies of one seed are
    equal, nothing else draws from it after that.

    Args:
        config: its ``vision_encoder_name`` and ``text_encoder_name`` are folders, or names on the hub, which
            is asked where the local cache lacks them.

    Returns:
        The policy, and the tokenizer of its text encoder.

    Raises:
        CheckpointError: an encoder cannot be had, is of another family, lacks weights, or does not read
            images of this size.
    """
    options = TokenizerOptions(
        max_length=config.tokenizer_max_length,
        padding=config.tokenizer_padding,
        padding_side=config.tokenizer_padding_side,
        truncation=config.tokenizer_truncation,
        tokenizer_name=config.text_encoder_name,
    )
    files = read_clip_files(None, config, options)
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
    """An encoder's pretrained weights; transformers would make up those that are missing."""
    log = logging.getLogger("transformers.modeling_utils")
    level = log.level
    # It reports at length that the other half of a pair was not used; what matters is checked below.
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
