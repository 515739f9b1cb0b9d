# SPDX-License-Identifier: Apache-2.0
"""Writing a checkpoint folder that both this package and LeRobot read."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

from safetensors.torch import save_file

from dit_policy_ros.policy.checkpoint import (
    CONFIG_FILE,
    FACTS_FILE,
    WEIGHTS_FILE,
    CheckpointFacts,
    find_checkpoint,
)
from dit_policy_ros.policy.clip_files import CLIP_FOLDER, write_clip_files
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processors import PREPROCESSOR, Stats, write_processors
from dit_policy_ros.policy.strict_json import read_json
from dit_policy_ros.policy.tasks import TaskTokenizer


def write_checkpoint(
    folder: str | Path, policy: DiTPolicy, stats: Stats, facts: CheckpointFacts, tokenizer: TaskTokenizer
) -> Path:
    """Write a self-contained checkpoint; interrupted at any moment, ``folder`` is whole or as it was.

    Args:
        folder: where to; an existing checkpoint there is replaced.
        policy: the network.
        stats: statistics of state, action and images, by feature and name.
        facts: fps, joint names, tasks.
        tokenizer: the text tokenizer.

    Returns:
        The absolute folder.
    """
    target = Path(folder).expanduser().resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / CLIP_FOLDER).mkdir(parents=True)
    config = policy.config
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in policy.state_dict().items()}
    save_file(tensors, partial / WEIGHTS_FILE, metadata={"format": "pt"})
    _write_json(partial / CONFIG_FILE, config.to_mapping())
    write_processors(partial, config, stats, tokenizer_name=config.text_encoder_name)
    write_clip_files(partial / CLIP_FOLDER, policy, tokenizer)
    _write_json(partial / FACTS_FILE, dataclasses.asdict(facts))
    _replace_folder(partial, target)
    return target


def relocate(path: str | Path) -> Path:
    """Name the checkpoint's own ``clip`` by its absolute path, so that LeRobot loads it without the hub.

    Returns:
        The absolute folder of the checkpoint.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    folder = find_checkpoint(path)
    name = str(folder / CLIP_FOLDER)
    config = read_json(folder / CONFIG_FILE)
    config["vision_encoder_name"] = config["text_encoder_name"] = name
    _write_json(folder / CONFIG_FILE, config)
    pipeline = read_json(folder / f"{PREPROCESSOR}.json")
    for step in pipeline["steps"]:
        if step["registry_name"] == "tokenizer_processor":
            step["config"]["tokenizer_name"] = name
    _write_json(folder / f"{PREPROCESSOR}.json", pipeline)
    return folder


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _replace_folder(new: Path, target: Path) -> None:
    for file in new.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
