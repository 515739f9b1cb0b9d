# SPDX-License-Identifier: Apache-2.0
"""Reads and writes a checkpoint's encoder architectures and tokenizer.

A self-contained checkpoint has them in ``clip/``. If the text encoder is from another CLIP model, its files
are in ``clip_text/``; a vision encoder of another family is in ``vision/``, a sentence encoder in ``text/``.
LeRobot's own checkpoints only
give the name of a model on the hub, which must then be in the local cache, or be downloaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, CLIPConfig, CLIPVisionConfig

from dit_policy_ros.core.errors import CheckpointError, DitPolicyError
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import (
    CnnConfig,
    TextConfig,
    VisionConfig,
    image_size_error,
    packaged_place,
    read_architecture,
    read_text_architecture,
    shortened,
    text_positions,
)
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions

CLIP_FOLDER = "clip"
CLIP_TEXT_FOLDER = "clip_text"
VISION_FOLDER = "vision"
TEXT_FOLDER = "text"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_SIZES = {
    "hidden_size": 65_536,
    "intermediate_size": 262_144,
    "num_hidden_layers": 1000,
    "num_attention_heads": 1000,
    "max_position_embeddings": 1_000_000,
    "vocab_size": 10_000_000,
}
"""The largest sensible sizes of an encoder, by their names in transformers."""


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """The architectures of a checkpoint's encoders, and its tokenizer."""

    vision: VisionConfig
    text: TextConfig
    tokenizer: TaskTokenizer


def read_encoder_files(folder: Path | None, config: PolicyConfig, options: TokenizerOptions) -> EncoderFiles:
    """Find and read the architectures and the tokenizer of a checkpoint, or of a new policy.

    Args:
        folder: the checkpoint; None for a new policy, whose encoders are found by their names in ``config``.
        config: the policy's options, which name the encoders.
        options: of the tokenizer.

    Raises:
        CheckpointError: they are not in the checkpoint, the cache or on the hub, or they do not fit together.
    """
    if folder is not None:
        _check_present(folder)
    family = config.vision_encoder_family
    has_own_vision = family != "clip" or (folder is not None and (folder / VISION_FOLDER).is_dir())
    vision_folder = VISION_FOLDER if has_own_vision else CLIP_FOLDER
    vision_at = _local(folder, vision_folder, config.vision_encoder_name)
    has_own_text = folder is not None and (folder / CLIP_TEXT_FOLDER).is_dir()
    text_family = config.text_encoder_family
    text_folder = CLIP_TEXT_FOLDER if has_own_text else CLIP_FOLDER
    if text_family != "clip":
        text_folder = TEXT_FOLDER
    text_at = packaged_place(_local(folder, text_folder, config.text_encoder_name))
    vision: VisionConfig = CLIPVisionConfig()  # of a policy without cameras, which has no vision encoder
    if config.image_features or text_family == "clip":
        what = "the vision encoder's config.json"
        vision = _read(partial(read_architecture, family), folder, vision_at, what)
        if isinstance(vision, CnnConfig) and config.vision_stride:
            vision = shortened(vision, config.vision_stride)
    text = _read(
        partial(read_text_architecture, text_family), folder, text_at, "the text encoder's config.json"
    )
    tokenizer = _read(AutoTokenizer.from_pretrained, folder, text_at, "the tokenizer's files")
    files = EncoderFiles(vision, text, TaskTokenizer(tokenizer, options))
    _check(files, config, where=str(folder or "new policy"))
    return files


def write_encoder_files(folder: Path, policy: DiTPolicy, tokenizer: TaskTokenizer) -> None:
    """Write architectures, weights and tokenizer so that ``from_pretrained(folder)`` of transformers works.

    Args:
        folder: ``<checkpoint>/clip``; it must exist and be empty. A vision encoder of another family goes to
            ``vision`` beside it. With a sentence encoder the two go to ``vision`` and ``text``, and
            ``folder`` is removed.
        policy: its encoders are written; of separate vision encoders only the first.
        tokenizer: the text tokenizer.
    """
    encoder = policy.observation_encoder
    text, vision = encoder.text_encoder.text_encoder, encoder.first_vision_encoder
    is_sentence = policy.config.text_encoder_family != "clip"
    vision_config, tensors = CLIPVisionConfig(), dict[str, torch.Tensor]()
    if vision is not None and (is_sentence or policy.config.vision_encoder_family != "clip"):
        # Only the architecture: the weights are in model.safetensors.
        vision.model.config.save_pretrained(folder.parent / VISION_FOLDER)
    elif vision is not None:
        vision_config = vision.model.config
        tensors |= {f"vision_model.{name}": tensor for name, tensor in vision.model.state_dict().items()}
    if is_sentence:
        text.config.save_pretrained(folder.parent / TEXT_FOLDER)
        tokenizer.tokenizer.save_pretrained(folder.parent / TEXT_FOLDER)
        folder.rmdir()  # it is for a pair of CLIP's encoders, and LeRobot's policies need one
        return
    tensors = {f"text_model.{name}": tensor for name, tensor in text.state_dict().items()} | tensors
    both = CLIPConfig(text_config=text.config.to_dict(), vision_config=vision_config.to_dict())
    both.architectures = ["CLIPModel"]
    both.save_pretrained(folder)
    contiguous = {
        name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()
    }
    save_file(contiguous, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.tokenizer.save_pretrained(folder)


def _check_present(folder: Path) -> None:
    """Raise CheckpointError for missing tokenizer files: transformers would create an empty vocabulary."""
    for name in (CLIP_FOLDER, CLIP_TEXT_FOLDER, TEXT_FOLDER):
        inside = folder / name
        missing = [file for file in ("config.json", *TOKENIZER_FILES) if not (inside / file).is_file()]
        has_older_format = (inside / "vocab.json").is_file() and (inside / "merges.txt").is_file()
        if inside.is_dir() and missing and not (has_older_format and "config.json" not in missing):
            raise CheckpointError(f"{folder}: {inside} lacks {', '.join(missing)}")


def _local(folder: Path | None, sub_folder: str, name: str) -> str:
    """The sub-folder if it exists, otherwise the hub name."""
    return str(folder / sub_folder) if folder is not None and (folder / sub_folder).is_dir() else name


def _read(read: Callable[..., Any], folder: Path | None, place: str, what: str) -> Any:
    failures = []
    # The cache first: a robot without internet access must not wait for the hub.
    for local_files_only in (True, False):
        try:
            return read(place, local_files_only=local_files_only)
        except DitPolicyError:
            raise
        except Exception as error:  # noqa: BLE001 - transformers checks little: a damaged file is any error
            text = " ".join(f"{type(error).__name__}: {error}".split())
            failures.append(text if len(text) <= 300 else f"{text[:297]}...")
        if Path(place).is_dir():
            break
    if folder is None:
        raise CheckpointError(
            f"new policy: cannot load {what} from {place!r}: {failures[-1]}. It is not a local folder, it is "
            f"not in the local cache, and it could not be downloaded from the hub. Download it while online, "
            f"or give the path of a folder"
        )
    raise CheckpointError(
        f"{folder}: cannot load {what} from {place!r}: {failures[-1]}. A self-contained checkpoint has "
        f"{CLIP_FOLDER}/config.json, {', '.join(f'{CLIP_FOLDER}/{name}' for name in TOKENIZER_FILES)}, and "
        f"{VISION_FOLDER}/config.json if the vision encoder is not a CLIP, and {TEXT_FOLDER}/ instead of "
        f"{CLIP_FOLDER}/ if the text encoder is not one. "
        f"Looked in {folder / CLIP_FOLDER}, in the local cache and on the hub. Copy the files of {place!r} "
        f"to {folder / CLIP_FOLDER}, or load the checkpoint once while online"
    )


def _check_sizes(architecture: Any, where: str) -> None:
    """Raise CheckpointError for sizes that no encoder has, which would fill the memory or divide by zero."""
    for name, most in _SIZES.items():
        value = getattr(architecture, name, None)
        if value is not None and (not isinstance(value, int) or not 1 <= value <= most):
            raise CheckpointError(f"{where}: {name}: expected a whole number of 1 to {most}, got {value!r}")


def _check(files: EncoderFiles, config: PolicyConfig, where: str) -> None:
    """Raise CheckpointError unless encoders, tokenizer and images fit together."""
    for architecture, part in ((files.vision, "vision"), (files.text, "text")):
        _check_sizes(architecture, f"{where}: the {part} encoder's architecture")
    max_length, positions = files.tokenizer.options.max_length, text_positions(files.text)
    if positions is not None and max_length > positions:
        raise CheckpointError(
            f"{where}: tokenizer max_length: expected at most {positions} (the text encoder's positions), "
            f"got {max_length}"
        )
    tokens, vocabulary = files.tokenizer.tokenizer.get_vocab(), files.text.vocab_size
    # The number of tokens says nothing: ids may have gaps, and an encoder's vocabulary may be rounded up.
    word, largest = max(tokens.items(), key=lambda token: token[1], default=("", -1))
    if largest >= vocabulary:
        raise CheckpointError(
            f"{where}: the tokenizer's token {word!r} has the id {largest}, but the text encoder knows the "
            f"ids 0 to {vocabulary - 1}: they are not from the same model"
        )
    if not set(tokens) - set(files.tokenizer.tokenizer.all_special_tokens):
        raise CheckpointError(
            f"{where}: the tokenizer has {len(tokens)} tokens and none that stands for text: files of it are "
            f"missing"
        )
    for key in config.image_features:
        size = config.encoded_size
        problem = image_size_error(files.vision, size)
        if problem is not None:
            raise CheckpointError(
                f"{where}: {key} reaches the vision encoder as {size[0]}x{size[1]} pixels, but "
                f"{problem}; set image_resize_shape or image_crop_shape in config.json"
            )
