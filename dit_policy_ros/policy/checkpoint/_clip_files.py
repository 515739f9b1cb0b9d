# SPDX-License-Identifier: Apache-2.0
"""Where a checkpoint's encoder architectures and tokenizer come from.

A self-contained checkpoint carries them in ``clip/``, in ``clip_text/`` where the text encoder is another
model, and in ``vision/`` where the vision encoder is no CLIP. LeRobot's own checkpoints only name a model of
the hub, which must then be in the local cache or reachable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, CLIPConfig, CLIPTextConfig, CLIPVisionConfig

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import VisionConfig, read_architecture, size_problem
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions

CLIP_FOLDER = "clip"
CLIP_TEXT_FOLDER = "clip_text"
VISION_FOLDER = "vision"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """What the weights of a checkpoint do not say about its encoders."""

    vision: VisionConfig
    text: CLIPTextConfig
    tokenizer: TaskTokenizer


def read_clip_files(folder: Path | None, config: PolicyConfig, options: TokenizerOptions) -> ClipFiles:
    """Find and read the architectures and the tokenizer of a checkpoint, or of a policy to be made.

    Args:
        folder: the checkpoint; None goes by the names in ``config`` alone.
        config: its options, which name the encoders.
        options: how the tokenizer is called.

    Raises:
        CheckpointError: they are neither in the checkpoint nor at hand otherwise, or contradict each other.
    """
    if folder is not None:
        _check_present(folder)
    family = config.vision_encoder_family
    vision_folder = CLIP_FOLDER if family == "clip" else VISION_FOLDER
    vision_at = _local(folder, vision_folder, config.vision_encoder_name)
    has_own_text = folder is not None and (folder / CLIP_TEXT_FOLDER).is_dir()
    text_folder = CLIP_TEXT_FOLDER if has_own_text else CLIP_FOLDER
    text_at = _local(folder, text_folder, config.text_encoder_name)
    vision = _read(partial(read_architecture, family), folder, vision_at, "the vision encoder's config.json")
    text = _read(CLIPTextConfig.from_pretrained, folder, text_at, "the text encoder's config.json")
    tokenizer = _read(AutoTokenizer.from_pretrained, folder, text_at, "the tokenizer's files")
    _check(folder, config, vision, text, tokenizer, options)
    return ClipFiles(vision, text, TaskTokenizer(tokenizer, options))


def write_clip_files(folder: Path, policy: DiTPolicy, tokenizer: TaskTokenizer) -> None:
    """Write architectures, weights and tokenizer so that ``from_pretrained(folder)`` of transformers works.

    Args:
        folder: ``<checkpoint>/clip``; it must exist. A vision encoder that is no CLIP goes beside it.
        policy: whose encoders are written; of separate vision encoders the first.
        tokenizer: the text tokenizer.
    """
    encoder = policy.observation_encoder
    text = encoder.text_encoder.text_encoder
    tensors = {f"text_model.{name}": tensor for name, tensor in text.state_dict().items()}
    vision_config = CLIPVisionConfig()
    vision = encoder.a_vision_encoder
    if vision is not None and policy.config.vision_encoder_family != "clip":
        # Its weights are in the policy's own file.
        vision.model.config.save_pretrained(folder.parent / VISION_FOLDER)
    elif vision is not None:
        vision_config = vision.model.config
        tensors |= {f"vision_model.{name}": tensor for name, tensor in vision.model.state_dict().items()}
    both = CLIPConfig(text_config=text.config.to_dict(), vision_config=vision_config.to_dict())
    both.architectures = ["CLIPModel"]
    both.save_pretrained(folder)
    contiguous = {
        name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()
    }
    save_file(contiguous, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.tokenizer.save_pretrained(folder)


def _check_present(folder: Path) -> None:
    """Transformers makes up an empty vocabulary where a tokenizer's files are missing; we do not."""
    for name in (CLIP_FOLDER, CLIP_TEXT_FOLDER):
        inside = folder / name
        missing = [file for file in ("config.json", *TOKENIZER_FILES) if not (inside / file).is_file()]
        is_older = (inside / "vocab.json").is_file() and (inside / "merges.txt").is_file()
        if inside.is_dir() and missing and not (is_older and "config.json" not in missing):
            raise CheckpointError(f"{folder}: {inside} lacks {', '.join(missing)}")


def _local(folder: Path | None, sub_folder: str, name: str) -> str:
    """The folder to read from, or the hub name where there is none."""
    return str(folder / sub_folder) if folder is not None and (folder / sub_folder).is_dir() else name


def _read(read: Callable[..., Any], folder: Path | None, place: str, what: str) -> Any:
    failures = []
    # The cache first: a robot that has the files must not wait for a network that it lacks.
    for local_files_only in (True, False):
        try:
            return read(place, local_files_only=local_files_only)
        except (OSError, ValueError, KeyError) as error:
            failures.append(str(error).splitlines()[0])
        if Path(place).is_dir():
            break
    if folder is None:
        raise CheckpointError(
            f"new policy: cannot load {what} from {place!r}: {failures[-1]}. It is neither a folder here, "
            f"nor in the local cache, nor was it to be had from the hub; download it while online, or name a "
            f"folder"
        )
    raise CheckpointError(
        f"{folder}: cannot load {what} from {place!r}: {failures[-1]}. A self-contained checkpoint has "
        f"{CLIP_FOLDER}/config.json, {', '.join(f'{CLIP_FOLDER}/{name}' for name in TOKENIZER_FILES)}, and "
        f"{VISION_FOLDER}/config.json where the vision encoder is no CLIP. "
        f"Looked in {folder / CLIP_FOLDER}, in the local cache and on the hub. Copy the files of {place!r} "
        f"there, or load the checkpoint once while online"
    )


def _check(
    folder: Path | None,
    config: PolicyConfig,
    vision: VisionConfig,
    text: CLIPTextConfig,
    tokenizer: Any,
    options: TokenizerOptions,
) -> None:
    where = folder or "new policy"
    if options.max_length > text.max_position_embeddings:
        raise CheckpointError(
            f"{where}: tokenizer max_length: expected at most {text.max_position_embeddings} (what the text "
            f"encoder reads), got {options.max_length}"
        )
    # Encoders may round their vocabulary up, but a tokenizer of a few tokens is one whose files are missing.
    if not text.vocab_size // 2 < len(tokenizer) <= text.vocab_size:
        raise CheckpointError(
            f"{where}: the tokenizer has {len(tokenizer)} tokens, the text encoder {text.vocab_size}: they "
            f"are not of one model, or the tokenizer's files are incomplete"
        )
    for key, feature in config.image_features.items():
        size = config.crop_shape or config.image_resize_shape or feature.shape[1:]
        problem = size_problem(vision, (size[0], size[1]))
        if problem is not None:
            raise CheckpointError(
                f"{where}: {key} reaches the vision encoder as {size[0]}x{size[1]} pixels, but "
                f"{problem}: set image_resize_shape or image_crop_shape in config.json"
            )
