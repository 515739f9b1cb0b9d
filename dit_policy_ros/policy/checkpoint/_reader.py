# SPDX-License-Identifier: Apache-2.0
"""Reading a checkpoint folder in LeRobot's format.

config.json  model.safetensors                       as LeRobot writes them
policy_preprocessor.json  policy_postprocessor.json  and their *.safetensors
clip/                                                 encoder architectures and tokenizer (if self-contained)
vision/                                               architecture of a vision encoder that is not a CLIP
dit_policy_ros.json                                   fps, joint names, tasks (ours; LeRobot ignores it)
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import STATE_KEY
from dit_policy_ros.policy.checkpoint._encoder_files import EncoderFiles, read_encoder_files
from dit_policy_ros.policy.checkpoint._hub import download, is_hub_id
from dit_policy_ros.policy.config import PolicyConfig, decode_dataclass, read_json
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import POSTPROCESSOR, PREPROCESSOR, Processors, read_processors

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FACTS_FILE = "dit_policy_ros.json"
FACTS_FORMAT = 1
REQUIRED_FILES = (CONFIG_FILE, WEIGHTS_FILE, f"{PREPROCESSOR}.json", f"{POSTPROCESSOR}.json")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """Facts that the robot needs and LeRobot does not store; the contents of dit_policy_ros.json."""

    format: int = FACTS_FORMAT
    fps: float | None = None  # [Hz]
    joint_names: tuple[str, ...] | None = None  # order of state and action
    known_tasks: tuple[str, ...] = ()
    instruction_dropout: float = 0.0  # share of training examples that had the empty instruction
    training: dict[str, Any] = field(default_factory=dict)  # how it was trained, in any form, for people


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The contents of a checkpoint, with the network built and its weights loaded."""

    folder: Path
    config: PolicyConfig
    processors: Processors
    facts: CheckpointFacts
    encoder_files: EncoderFiles
    policy: DiTPolicy


def read_checkpoint(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a checkpoint; the network is in evaluation mode on the CPU.

    Does not change torch's global random generator.

    Args:
        path: the folder, or an id on the Hugging Face hub: ``owner/name`` or ``owner/name@revision``.
        overrides: sampling options that replace the checkpoint's.

    Raises:
        CheckpointError: the folder or a file is missing, damaged, of another policy, or inconsistent.
    """
    folder = find_checkpoint(path)
    config = PolicyConfig.from_mapping(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
    ignored = [key for key in config.input_features if key not in (*config.image_features, STATE_KEY)]
    if ignored:
        logger.warning(
            "%s: the network does not use the input features %s", folder / CONFIG_FILE, ", ".join(ignored)
        )
    config = config.with_overrides(overrides or {})
    processors = read_processors(folder, config)
    facts = read_facts(folder, config)
    files = read_encoder_files(folder, config, processors.tokenizer)
    with torch.random.fork_rng(devices=[]):
        policy = DiTPolicy(config, files.vision, files.text)
    load_weights(policy, folder / WEIGHTS_FILE)
    return Checkpoint(folder, config, processors, facts, files, policy.eval())


def find_checkpoint(path: str | Path) -> Path:
    """The absolute folder of a checkpoint, given by a path or, if no such folder exists, by a hub id.

    Raises:
        CheckpointError: there is no such checkpoint; the message says where it was looked for.
    """
    name = str(path)
    if not name.strip():
        raise CheckpointError("checkpoint: expected the path of a folder, got an empty string")
    if not Path(name).expanduser().exists() and is_hub_id(name):
        return check_folder(name, download(name))
    return find_folder(path)


def find_folder(path: str | Path) -> Path:
    """The absolute folder of a checkpoint on this machine; CheckpointError if it is not a checkpoint."""
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "it does not exist"
        raise CheckpointError(
            f"checkpoint {str(path)!r}: looked for a folder {folder} with {', '.join(REQUIRED_FILES)}, "
            f"but {found}"
        )
    return check_folder(str(path), folder)


def check_folder(name: str, folder: Path) -> Path:
    """Return ``folder`` if it has all files of a checkpoint; CheckpointError lists the missing ones."""
    missing = [file for file in REQUIRED_FILES if not (folder / file).is_file()]
    if missing:
        places = (folder / inner / "pretrained_model" for inner in (".", "last", "checkpoints/last"))
        nested = next((place for place in places if (place / CONFIG_FILE).is_file()), None)
        hint = f"; did you mean {nested}?" if nested else ""
        raise CheckpointError(f"checkpoint {name!r}: {folder} lacks {', '.join(missing)}{hint}")
    return folder


def read_facts(folder: Path, config: PolicyConfig) -> CheckpointFacts:
    """Read dit_policy_ros.json; a checkpoint without one (from LeRobot) has empty facts."""
    path = folder / FACTS_FILE
    if not path.is_file():
        return CheckpointFacts()
    facts = decode_dataclass(CheckpointFacts, read_json(path), str(path))
    if facts.format != FACTS_FORMAT:
        raise CheckpointError(f"{path}: format: expected {FACTS_FORMAT}, got {facts.format}")
    if facts.fps is not None and facts.fps <= 0:
        raise CheckpointError(f"{path}: fps: expected more than 0, got {facts.fps}")
    if not 0.0 <= facts.instruction_dropout < 1.0:
        raise CheckpointError(
            f"{path}: instruction_dropout: expected 0 or more, less than 1, got {facts.instruction_dropout}"
        )
    names = facts.joint_names
    if names is not None and len(names) != config.action_dim:
        raise CheckpointError(
            f"{path}: joint_names: expected {config.action_dim} (the action's entries), got {len(names)}"
        )
    return facts


def load_weights(policy: DiTPolicy, path: Path) -> None:
    """Load a network's weights; CheckpointError for missing, unknown and misshapen tensors."""
    try:
        stored = {canonical_name(name): tensor for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot read the weights: {error}") from error
    expected = policy.state_dict()
    stored = {name: tensor for name, tensor in stored.items() if not name.endswith("embeddings.position_ids")}
    problems = [f"missing tensor {name}" for name in expected if name not in stored]
    problems += [f"unknown tensor {name}" for name in stored if name not in expected]
    problems += [
        f"{name}: expected shape {tuple(expected[name].shape)}, got {tuple(tensor.shape)}"
        for name, tensor in stored.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise CheckpointError(f"{path} does not fit its config.json: {shown}")
    policy.load_state_dict(stored)


def canonical_name(name: str) -> str:
    """The name of a parameter in transformers 5; version 4 nested CLIP's encoders one level deeper."""
    return name.replace(".model.vision_model.", ".model.").replace(
        ".text_encoder.text_model.", ".text_encoder."
    )
