# SPDX-License-Identifier: Apache-2.0
"""Reading a checkpoint folder in LeRobot's format.

config.json  model.safetensors                       as LeRobot writes them
policy_preprocessor.json  policy_postprocessor.json  and their *.safetensors
clip/                                                 encoder architectures and tokenizer (if self-contained)
vision/                                               architecture of a vision encoder that is not a CLIP
text/                                                 a sentence encoder's architecture and tokenizer
instructions.safetensors                              text features of the training's instructions (ours)
wordings.npz                                          what other wordings mean (ours)
dit_policy_ros.json                                   fps, joint names, tasks (ours; LeRobot ignores it)
"""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import STATE_KEY
from dit_policy_ros.core.wordings import WORDINGS_FILE, WordingModel
from dit_policy_ros.policy.checkpoint._encoder_files import EncoderFiles, read_encoder_files
from dit_policy_ros.policy.checkpoint._hub import download, is_hub_id
from dit_policy_ros.policy.checkpoint._instructions import KnownInstructions, read_instructions
from dit_policy_ros.policy.config import PolicyConfig, decode_dataclass, lfs_hint, read_json
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import POSTPROCESSOR, PREPROCESSOR, Processors, read_processors

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FACTS_FILE = "dit_policy_ros.json"
FACTS_FORMAT = 1
FORMATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Number formats of weights on disk."""
ACTIONS_FILE = "actions.safetensors"  # of a recorded episode that is played as a policy (policy/episode)
MODEL_FOLDER = "pretrained_model"  # of a checkpoint in a run's folder, beside what training needs to go on
_CHECKPOINTS_OF_RUN = (".", "best", "last", "checkpoints/best", "checkpoints/last")
REQUIRED_FILES = (CONFIG_FILE, WEIGHTS_FILE, f"{PREPROCESSOR}.json", f"{POSTPROCESSOR}.json")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """Facts that the robot needs and LeRobot does not store; the contents of dit_policy_ros.json."""

    format: int = FACTS_FORMAT
    fps: float | None = None  # [Hz]
    joint_names: tuple[str, ...] | None = None  # of the state's entries, in order
    action_names: tuple[str, ...] | None = None  # of the action's; None: as joint_names; empty: not known
    vector_names: dict[str, tuple[str, ...] | None] = field(
        default_factory=dict
    )  # of further vectors, by key
    known_tasks: tuple[str, ...] = ()
    instruction_dropout: float = 0.0  # share of training examples that had the empty instruction
    training: dict[str, Any] = field(default_factory=dict)  # how it was trained, in any form, for people

    @property
    def named_actions(self) -> tuple[str, ...] | None:
        """Names of the action's entries, in order; None if they are not known."""
        return self.joint_names if self.action_names is None else self.action_names or None

    def assuming(self, fps: float, joints: Sequence[str], state_dim: int, source: str) -> "CheckpointFacts":
        """These facts with those that they lack; 0 and an empty list assume nothing.

        Args:
            fps: rate of the training data [Hz].
            joints: the joints of the state's entries.
            state_dim: number of the state's entries.
            source: what states the facts, for messages.

        Raises:
            CheckpointError: another rate or other joints are stated, or the number of joints is wrong.
        """
        names = tuple(joints)
        if fps and self.fps is not None and self.fps != fps:
            raise CheckpointError(
                f"assume_fps: {source} states {self.fps:g} Hz, expected that or none, got "
                f"{fps:g}; it is only for checkpoints that state no rate"
            )
        if fps and not 0.0 < fps < math.inf:
            raise CheckpointError(f"assume_fps: expected more than 0 Hz, got {fps:g}")
        if names and self.joint_names is not None and self.joint_names != names:
            raise CheckpointError(
                f"assume_joints: {source} states {', '.join(self.joint_names)}, expected "
                f"those or none, got {', '.join(names)}; it is only for checkpoints that name no joints"
            )
        if names and self.joint_names is None and len(names) != state_dim:
            raise CheckpointError(
                f"assume_joints: expected the {state_dim} entries of the checkpoint's state, got "
                f"{len(names)} names"
            )
        _check_each_once("assume_joints", names)
        facts = self
        if names:
            actions = facts.action_names or (names if facts.action_names == () else None)
            facts = dataclasses.replace(facts, joint_names=facts.joint_names or names, action_names=actions)
        return dataclasses.replace(facts, fps=facts.fps or fps or None)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The contents of a checkpoint, with the network built and its weights loaded."""

    folder: Path
    config: PolicyConfig
    processors: Processors
    facts: CheckpointFacts
    encoder_files: EncoderFiles
    policy: DiTPolicy
    instructions: KnownInstructions | None = None  # of the training; None if the checkpoint has none
    wordings: WordingModel | None = None  # None if the checkpoint has none

    def assuming(self, fps: float, joints: Sequence[str]) -> "Checkpoint":
        """The checkpoint with facts that it does not state, see ``CheckpointFacts.assuming``."""
        facts = self.facts.assuming(
            fps, joints, self.config.state_parts[STATE_KEY], str(self.folder / FACTS_FILE)
        )
        return dataclasses.replace(self, facts=facts)


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
    used = (*config.image_features, *config.state_parts)
    ignored = [key for key in config.input_features if key not in used]
    if ignored:
        logger.warning(
            "%s: the network does not use the input features %s", folder / CONFIG_FILE, ", ".join(ignored)
        )
    config = config.with_overrides(overrides or {})
    processors = read_processors(folder, config)
    facts = read_facts(folder, config.state_parts, config.action_dim)
    files = read_encoder_files(folder, config, processors.tokenizer)
    try:
        with torch.random.fork_rng(devices=[]):
            policy = DiTPolicy(config, files.vision, files.text)
    except Exception as error:
        # transformers checks little of an architecture; what it stumbles over comes as any kind of error.
        raise CheckpointError(
            f"{folder}: no network can be built of config.json and the encoders' architectures: "
            f"{type(error).__name__}: {error}"
        ) from error
    load_weights(policy, folder / WEIGHTS_FILE)
    features = policy.observation_encoder.text_encoder.projection.in_features
    instructions = read_instructions(folder, features, len(facts.known_tasks))
    wordings = read_wording_model(folder, facts.known_tasks)
    return Checkpoint(folder, config, processors, facts, files, policy.eval(), instructions, wordings)


def read_wording_model(folder: Path, known_tasks: Sequence[str]) -> WordingModel | None:
    """What other wordings mean to the checkpoint in a folder; None if it does not say.

    Raises:
        CheckpointError: the file is damaged, or of a checkpoint with other tasks.
    """
    found = WordingModel.read(folder)
    if found is not None and (strange := [task for task in found.instructions if task not in known_tasks]):
        raise CheckpointError(
            f"{folder / WORDINGS_FILE}: expected wordings of the checkpoint's tasks, got those of "
            f"{strange[0]!r}: it is of another checkpoint. `dit_policy teach_wordings` writes it anew"
        )
    return found


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
    """The absolute folder of a checkpoint on this machine; CheckpointError if it is not a checkpoint.

    The folder of a training run means its best checkpoint, or its newest if it has no validation.
    """
    folder = _of_run(Path(path).expanduser().resolve())
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "it does not exist"
        raise CheckpointError(
            f"checkpoint {str(path)!r}: looked for a folder {folder} with {', '.join(REQUIRED_FILES)}, "
            f"but {found}"
        )
    return check_folder(str(path), folder)


def _of_run(folder: Path) -> Path:
    """The best or newest checkpoint of a run, given its folder or a part of it; else the folder itself."""
    if (folder / CONFIG_FILE).is_file():
        return folder
    places = (folder / inner / MODEL_FOLDER for inner in _CHECKPOINTS_OF_RUN)
    return next((place.resolve() for place in places if (place / CONFIG_FILE).is_file()), folder)


def check_folder(name: str, folder: Path) -> Path:
    """Return ``folder`` if it has all files of a checkpoint; CheckpointError lists the missing ones."""
    if all((folder / file).is_file() for file in (CONFIG_FILE, ACTIONS_FILE)):
        return folder
    missing = [file for file in REQUIRED_FILES if not (folder / file).is_file()]
    if missing:
        hint = ""
        if missing == [f"{PREPROCESSOR}.json", f"{POSTPROCESSOR}.json"]:
            hint = (
                ". LeRobot wrote none before it had processors; convert such a checkpoint: python -m "
                f"lerobot.processor.migrate_policy_normalization --pretrained-path {folder}"
            )
        raise CheckpointError(f"checkpoint {name!r}: {folder} lacks {', '.join(missing)}{hint}")
    return folder


def read_known_tasks(folder: Path) -> tuple[str, ...]:
    """The instructions that a checkpoint's folder says it was trained on; empty if it does not say.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / FACTS_FILE
    if not path.is_file():
        return ()
    tasks = read_json(path).get("known_tasks", [])
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise CheckpointError(f"{path}: known_tasks: expected a list of texts, got {tasks!r}")
    return tuple(tasks)


def read_facts(folder: Path, state_parts: Mapping[str, int], action_dim: int) -> CheckpointFacts:
    """Read dit_policy_ros.json; a checkpoint without one (from LeRobot) has empty facts.

    Args:
        folder: the checkpoint.
        state_parts: the entries of the joints' state and of each further vector, by key.
        action_dim: the entries of the action.
    """
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
    further = [key for key in state_parts if key != STATE_KEY]
    if unknown := sorted(set(facts.vector_names) - set(further)):
        read = ", ".join(further) or "none"
        raise CheckpointError(
            f"{path}: vector_names: expected those of the state_features in config.json ({read}), got "
            f"{', '.join(unknown)}"
        )
    facts = _with_own_action_names(facts, state_parts[STATE_KEY], action_dim)
    for key, names, what, dim in (
        ("joint_names", facts.joint_names, "state", state_parts[STATE_KEY]),
        ("action_names", facts.action_names or None, "action", action_dim),
        *(
            (f"vector_names.{vector}", facts.vector_names.get(vector), vector, state_parts[vector])
            for vector in further
        ),
    ):
        if names is not None and len(names) != dim:
            raise CheckpointError(f"{path}: {key}: expected {dim} (the {what}'s entries), got {len(names)}")
        _check_each_once(f"{path}: {key}", names or (), "entry" if "." in key else "joint")
    return facts


def _with_own_action_names(facts: CheckpointFacts, state_dim: int, action_dim: int) -> CheckpointFacts:
    """Facts of before actions had names of their own: where the dimensions differ, whose names they are."""
    names = facts.joint_names
    if names is None or facts.action_names is not None or state_dim == action_dim:
        return facts
    if len(names) == action_dim:
        return dataclasses.replace(facts, joint_names=None, action_names=names)
    return dataclasses.replace(facts, action_names=())


def _check_each_once(what: str, names: Sequence[str], kind: str = "joint") -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CheckpointError(f"{what}: expected each {kind} once, got {', '.join(twice)} twice")


def load_weights(policy: DiTPolicy, path: Path) -> None:
    """Load a network's weights; CheckpointError for missing, unknown and misshapen tensors."""
    try:
        stored = {canonical_name(name): tensor for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot read the weights: {error}{lfs_hint(path)}") from error
    expected = policy.state_dict()
    stored = {name: tensor for name, tensor in stored.items() if not name.endswith("embeddings.position_ids")}
    problems = [f"missing tensor {name}" for name in expected if name not in stored]
    problems += [f"unknown tensor {name}" for name in stored if name not in expected]
    problems += [
        f"{name}: expected shape {tuple(expected[name].shape)}, got {tuple(tensor.shape)}"
        for name, tensor in stored.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    problems += [
        f"{name}: expected one of {', '.join(map(str, FORMATS))}, got {tensor.dtype}"
        for name, tensor in stored.items()
        if name in expected and expected[name].is_floating_point() and tensor.dtype not in FORMATS
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise CheckpointError(f"{path} does not fit its config.json: {shown}")
    check_finite_weights(stored, path)
    policy.load_state_dict(stored)


def check_finite_weights(stored: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise CheckpointError, with the ``path``, if a weight is NaN or infinite."""
    broken = [
        name
        for name, tensor in stored.items()
        if tensor.is_floating_point() and tensor.numel() and not all(map(torch.isfinite, tensor.aminmax()))
    ]
    if broken:
        raise CheckpointError(
            f"{path}: expected finite weights, got NaN or infinity in {len(broken)} tensors, first "
            f"{broken[0]}: the training has diverged, or the file is damaged"
        )


def canonical_name(name: str) -> str:
    """The name of a parameter in transformers 5; version 4 nested CLIP's encoders one level deeper."""
    return name.replace(".model.vision_model.", ".model.").replace(
        ".text_encoder.text_model.", ".text_encoder."
    )
