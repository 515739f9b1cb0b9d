# SPDX-License-Identifier: Apache-2.0
"""Writes and relocates checkpoint folders that both this package and LeRobot load."""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from dit_policy_ros.core.atomic_files import write_atomically, write_folder_atomically
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint._encoder_files import CLIP_FOLDER, CLIP_TEXT_FOLDER, write_encoder_files
from dit_policy_ros.policy.checkpoint._reader import (
    CONFIG_FILE,
    FACTS_FILE,
    WEIGHTS_FILE,
    CheckpointFacts,
    find_folder,
)
from dit_policy_ros.policy.config import EXTENDED_TYPE, PolicyConfig, read_json
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import PREPROCESSOR, Stats, TaskTokenizer, read_stats, write_processors

logger = logging.getLogger(__name__)


def write_checkpoint(
    folder: str | Path,
    policy: DiTPolicy,
    stats: Stats,
    facts: CheckpointFacts,
    tokenizer: TaskTokenizer,
    write_more: Callable[[Path], None] = lambda partial: None,
) -> Path:
    """Write a self-contained checkpoint atomically: an interruption never leaves ``folder`` half-written.

    Args:
        folder: where to write; an existing checkpoint is replaced.
        policy: the network.
        stats: statistics of state, action and images, by feature and name.
        facts: fps, joint names, tasks.
        tokenizer: the text tokenizer.
        write_more: writes further files into the folder that it is given.

    Returns:
        The absolute path of the folder.
    """
    target = Path(folder).expanduser().resolve()
    config = policy.config

    def write(partial: Path) -> None:
        (partial / CLIP_FOLDER).mkdir()
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in policy.state_dict().items()}
        save_file(tensors, partial / WEIGHTS_FILE, metadata={"format": "pt"})
        _write_json(partial / CONFIG_FILE, config.to_mapping())
        write_processors(partial, config, stats)
        write_encoder_files(partial / CLIP_FOLDER, policy, tokenizer)
        write_atomically(partial / FACTS_FILE, facts_text(facts))
        write_more(partial)

    write_folder_atomically(target, write, replace=True, durable=True)
    if config.extensions:
        logger.info("%s: %s", target, needs_plugin(config))
    return target


def facts_text(facts: CheckpointFacts) -> str:
    """What dit_policy_ros.json says."""
    stated = dataclasses.asdict(facts)
    if not facts.vector_names:  # versions without further vectors read the file, too
        del stated["vector_names"]
    return json.dumps(stated, indent=2) + "\n"


def needs_plugin(config: PolicyConfig) -> str:
    """Why LeRobot needs this package's plugin for a checkpoint with these ``extensions``."""
    options = ", ".join(f"{name} {value!r}" for name, value in config.extensions.items())
    return (
        f"LeRobot alone has no {options}: it loads this checkpoint, of type {EXTENDED_TYPE!r}, where this "
        f"package is installed beside it (docs/lerobot.md)"
    )


def relocate(path: str | Path) -> Path:
    """Write the absolute path of the checkpoint's ``clip`` into its files, so that LeRobot loads it offline.

    Nothing else changes. Relocate a folder again after moving it.

    Returns:
        The absolute path of the checkpoint.

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or it does not contain its encoders.
    """
    folder = find_folder(path)
    names = {"vision_encoder_name": folder / CLIP_FOLDER, "text_encoder_name": folder / CLIP_FOLDER}
    if (folder / CLIP_TEXT_FOLDER).is_dir():
        names["text_encoder_name"] = folder / CLIP_TEXT_FOLDER
    for place in names.values():
        if not (place / "config.json").is_file():
            raise CheckpointError(
                f"{folder} does not contain its encoders: {place / 'config.json'} is missing. LeRobot takes "
                f"the encoders of such a checkpoint from the hub or its cache. Load and save it once with "
                f"this package"
            )
    config, pipeline = read_json(folder / CONFIG_FILE), read_json(folder / f"{PREPROCESSOR}.json")
    options = PolicyConfig.from_mapping(config, str(folder / CONFIG_FILE))
    if options.extensions:
        raise CheckpointError(
            f"{folder}: {needs_plugin(options)}, wherever it lies; there is nothing to relocate"
        )
    read_stats(folder)  # raises CheckpointError for a damaged pipeline
    config |= {option: str(place) for option, place in names.items()}
    for step in pipeline["steps"]:
        if step["registry_name"] == "tokenizer_processor":
            step["config"]["tokenizer_name"] = config["text_encoder_name"]
    _write_json(folder / CONFIG_FILE, config)
    _write_json(folder / f"{PREPROCESSOR}.json", pipeline)
    return folder


def _write_json(path: Path, value: dict[str, object]) -> None:
    write_atomically(path, json.dumps(value, indent=2) + "\n")
