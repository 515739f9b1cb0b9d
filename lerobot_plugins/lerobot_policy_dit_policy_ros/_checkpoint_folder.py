# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders between LeRobot and this project."""

import atexit
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.data.description import describe_dataset
from dit_policy_ros.policy.checkpoint import (
    FACTS_FILE,
    WEIGHTS_FILE,
    CheckpointFacts,
    facts_text,
    write_encoder_files,
)
from dit_policy_ros.policy.config import PolicyConfig, read_json
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import PREPROCESSOR, TaskTokenizer

_ENCODERS = (
    "text",
    "clip_text",
    "clip",
)  # folders of a checkpoint with a text encoder, in order of preference


def readable_by_lerobot(folder: Path) -> Path:
    """The folder from which LeRobot's processors can load the tokenizer: the checkpoint, or a copy of links.

    A checkpoint that contains its encoders calls them by a name within the folder, so that it can be moved.
    LeRobot looks for a tokenizer of that name on the hub. The copy's processor names the place.
    """
    encoder = next((folder / name for name in _ENCODERS if (folder / name).is_dir()), None)
    pipeline: dict[str, Any] = read_json(folder / f"{PREPROCESSOR}.json")
    steps = [s for s in pipeline.get("steps", ()) if s.get("registry_name") == "tokenizer_processor"]
    if encoder is None or not steps or all(s["config"].get("tokenizer_name") == str(encoder) for s in steps):
        return folder
    parent = Path(tempfile.mkdtemp(prefix="dit_policy_ros_"))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    copy = parent / folder.name
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).symlink_to(path)
    for step in steps:
        step["config"]["tokenizer_name"] = str(encoder)
    (copy / f"{PREPROCESSOR}.json").unlink()
    (copy / f"{PREPROCESSOR}.json").write_text(json.dumps(pipeline, indent=2) + "\n")
    return copy


def dataset_facts(dataset: Any, options: PolicyConfig, before: CheckpointFacts | None) -> CheckpointFacts:
    """What the robot has to know of the data, of which LeRobot's checkpoints say nothing.

    Args:
        dataset: LeRobot's metadata.
        options: of the policy.
        before: of the checkpoint that is trained further; None for a new policy.
    """
    description = describe_dataset(Path(dataset.root))
    state, action = description.state_and_action()
    names = {
        vector.key: vector.names for vector in description.vectors if vector.key in options.state_features
    }
    known = () if before is None else before.known_tasks
    tasks = tuple(dict.fromkeys((*known, *map(str, dataset.tasks.index))))
    return CheckpointFacts(
        fps=float(dataset.fps),
        joint_names=_joints(state.names),
        action_names=_joints(action.names) or (),
        vector_names=names,
        known_tasks=tasks,
        training={"program": "lerobot-train"},
    )


def _joints(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The joints that LeRobot's names of positions (``left_joint_1.pos``) mean; other names stay."""
    return None if names is None else tuple(name.removesuffix(".pos") for name in names)


def write_network(
    folder: Path,
    network: DiTPolicy,
    tensors: dict[str, Tensor],
    tokenizer: TaskTokenizer,
    facts: CheckpointFacts,
) -> None:
    """Write weights, encoders and facts beside the files that LeRobot writes."""
    (folder / "clip").mkdir(exist_ok=True)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    write_encoder_files(folder / "clip", network, tokenizer)
    write_atomically(folder / FACTS_FILE, facts_text(facts))
