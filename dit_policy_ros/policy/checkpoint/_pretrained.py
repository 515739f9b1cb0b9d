# SPDX-License-Identifier: Apache-2.0
"""Builds a new policy with pretrained encoders."""

import logging
from typing import Any

from torch import Tensor, nn
from transformers import AutoModel, CLIPTextModel

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint._encoder_files import read_encoder_files
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import ALL_FAMILIES, packaged_place, packaged_weights
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions


def pretrained_policy(config: PolicyConfig) -> tuple[DiTPolicy, TaskTokenizer]:
    """Build a policy with the encoders that ``config`` names.

    The transformer gets random weights from torch's global generator, so that a seed determines them.

    Args:
        config: its ``vision_encoder_name`` and ``text_encoder_name`` are folders, packages of
            requirements/encoders.txt, or names on the hub. Those not in the local cache are downloaded.

    Returns:
        The policy, and the tokenizer of its text encoder.

    Raises:
        CheckpointError: an encoder cannot be loaded, is of another family, lacks weights, or does not accept
            images of this size.
    """
    files = read_encoder_files(None, config, TokenizerOptions.of(config))
    text_model = CLIPTextModel if config.text_encoder_family == "clip" else AutoModel
    text = _weights(text_model, config.text_encoder_name)
    vision = {}
    if config.image_features:
        vision = _weights(ALL_FAMILIES[config.vision_encoder_family].model, config.vision_encoder_name)
    policy = DiTPolicy(config, files.vision, files.text)
    encoder = policy.observation_encoder
    _load(encoder.text_encoder.text_encoder, text, config.text_encoder_name)
    for each in encoder.vision_encoders or [encoder.vision_encoder]:
        if each is not None:
            _load(each.model, vision, config.vision_encoder_name)  # type: ignore[arg-type]  # of a ModuleList
    return policy, files.tokenizer


def check_encoders(config: PolicyConfig) -> None:
    """Read the architectures and the tokenizer that ``config`` names, without the weights, and check them.

    Raises:
        CheckpointError: they cannot be found, are of another family, or do not accept images of this size.
    """
    read_encoder_files(None, config, TokenizerOptions.of(config))


def _weights(model: type[Any], place: str) -> dict[str, Tensor]:
    """Load an encoder's pretrained weights; missing ones are an error (transformers would randomise them)."""
    packaged = packaged_weights(place)
    if packaged is not None:
        return packaged
    log = logging.getLogger("transformers.modeling_utils")
    level = log.level
    # It would report every unused weight of an image-text pair. Missing weights are checked below.
    log.setLevel(logging.ERROR)
    try:
        loaded, report = model.from_pretrained(packaged_place(place), output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"new policy: cannot load weights from {place!r}: {error}") from error
    finally:
        log.setLevel(level)
    # A pooling layer of BERT's kind is of no use here, and sentence encoders are published without one.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler.dense."))
    if missing:
        raise CheckpointError(
            f"new policy: {place!r} lacks {len(missing)} tensors of {model.__name__}, first {missing[0]}"
        )
    return loaded.state_dict()


def _load(model: nn.Module, weights: dict[str, Tensor], place: str) -> None:
    """Give an encoder its weights; those of layers that it does not have are left out."""
    wanted = model.state_dict()
    misshapen = [name for name in wanted if name not in weights or weights[name].shape != wanted[name].shape]
    if misshapen:
        raise CheckpointError(
            f"new policy: the weights of {place!r} do not fit its config.json, first {misshapen[0]}"
        )
    model.load_state_dict({name: weights[name] for name in wanted})
