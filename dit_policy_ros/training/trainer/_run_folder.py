# SPDX-License-Identifier: Apache-2.0
"""The folder of a training run, with the layout of ``lerobot-train``.

train.yaml                                   the run's options
adaptation.json                              with --adapt: what was kept of the other robot's policy
log.jsonl  tensorboard/
checkpoints/001000/pretrained_model/         the policy, for policy_node and LeRobot
checkpoints/001000/training_state/           optimiser and random generators, for --resume
checkpoints/last -> 001000                   the newest complete checkpoint
checkpoints/best -> 001000                   the one with the smallest action error in validation
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator

from dit_policy_ros.core.atomic_files import replace_folder, sync_folder, sync_tree, write_atomically
from dit_policy_ros.training.config import TrainConfig, check_resumable, config_from_mapping
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.together import together

CONFIG_FILE = "train.yaml"
ADAPTATION_FILE = "adaptation.json"
MODEL_FOLDER = "pretrained_model"
STATE_FOLDER = "training_state"
_SCORE_FILE = "validation.json"


class RunFolder:
    """The folder of one run. Checkpoints are written atomically: each is complete or absent."""

    def __init__(self, path: Path | str) -> None:
        """``path`` need not exist yet."""
        self.path = Path(path).expanduser().resolve()
        self.checkpoints = self.path / "checkpoints"
        self.trial = self.checkpoints / ".trial.partial"  # a checkpoint written before the first step

    @property
    def last(self) -> Path | None:
        """The newest checkpoint; None before the first."""
        link = self.checkpoints / "last"
        return link.resolve() if link.exists() else None

    @property
    def has_run(self) -> bool:
        """Whether a run was started in this folder."""
        return (self.path / CONFIG_FILE).is_file()

    def check_new(self) -> None:
        """TrainingError if the folder holds a run already."""
        if (self.path / CONFIG_FILE).exists():
            raise TrainingError(
                f"--output {self.path}: this folder already holds a run. Continue it with --resume, choose "
                f"another folder, or remove it"
            )

    def begin(self, config: TrainConfig) -> None:
        """Create the folder of a new run; TrainingError if it holds one already."""
        self.check_new()
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_config(config)

    def write_config(self, config: TrainConfig) -> None:
        """Write the run's options."""
        write_atomically(self.path / CONFIG_FILE, yaml.safe_dump(config.to_mapping(), sort_keys=False))

    def write_adaptation(self, adaptation: Mapping[str, Any]) -> None:
        """Write what the run kept of another robot's policy."""
        write_atomically(self.path / ADAPTATION_FILE, json.dumps(adaptation, indent=2) + "\n")

    def resumed_config(self, changes: Mapping[str, Any]) -> TrainConfig:
        """The options of the run with ``changes``, for resuming it.

        Raises:
            TrainingError: there is no run, or a change would alter its result.
        """
        before = read_config(self.path / CONFIG_FILE)
        now = config_from_mapping(before.to_mapping() | dict(changes), "command line")
        check_resumable(before, now)
        return now

    def save(
        self,
        step: int,
        write_state: Callable[[Path], None],
        write_model: Callable[[Path], None],
        accelerator: Accelerator,
        keep: int,
        score: float | None = None,
    ) -> Path:
        """Write a checkpoint, update the links ``last`` and ``best``, and remove the oldest checkpoints.

        Args:
            step: the number of steps taken.
            write_state: writes the training state into a folder; every process calls it.
            write_model: writes the policy into a folder; only the main process calls it.
            accelerator: of the run, to wait for the other processes.
            keep: how many of the newest checkpoints to keep, beside the best.
            score: ``best`` is the checkpoint with the smallest; None if there is no validation.
        """
        target = self.checkpoints / f"{step:06d}"
        partial = self.checkpoints / f".{step:06d}.partial"
        if accelerator.is_main_process:
            for leftover in self.checkpoints.glob(".*.partial"):  # of a run that was killed
                shutil.rmtree(leftover)
            (partial / STATE_FOLDER).mkdir(parents=True)
        accelerator.wait_for_everyone()
        if not (partial / STATE_FOLDER).is_dir():
            raise TrainingError(
                f"--output {self.path}: this machine does not see the folder that the main process made "
                f"there. All machines of a run need the same disk under it (NFS, Lustre)"
            )
        write_state(partial / STATE_FOLDER)
        accelerator.wait_for_everyone()

        def finish() -> None:
            write_model(partial / MODEL_FOLDER)
            if score is not None:
                (partial / _SCORE_FILE).write_text(json.dumps({"action_error": score}))
            sync_tree(partial)
            replace_folder(partial, target)  # a run that was resumed before this step has one already
            _replace_link(self.checkpoints / "last", target)
            best = _score_of(self.checkpoints / "best")
            if score is not None and (best is None or score < best):
                _replace_link(self.checkpoints / "best", target)
            sync_folder(self.checkpoints)  # before the older ones are removed
            self._prune(keep)

        together(accelerator, finish, main_only=True)
        return target

    def _prune(self, keep: int) -> None:
        linked = {(self.checkpoints / name).resolve() for name in ("last", "best")}
        steps = [path for path in self.checkpoints.iterdir() if path.name.isdigit()]
        for path in sorted(steps, key=lambda path: int(path.name))[:-keep]:
            if path not in linked:
                shutil.rmtree(path)


def read_config(path: Path) -> TrainConfig:
    """Read options from a YAML file; TrainingError names what is wrong with it."""
    try:
        mapping = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: cannot read the options of a run: {error}") from error
    if not isinstance(mapping, dict):
        raise TrainingError(f"{path}: expected options as NAME: VALUE, got {type(mapping).__name__}")
    return config_from_mapping(mapping, str(path))


def _score_of(checkpoint: Path) -> float | None:
    path = checkpoint / _SCORE_FILE
    return json.loads(path.read_text())["action_error"] if path.is_file() else None


def _replace_link(link: Path, target: Path) -> None:
    """Point ``link`` at its sibling ``target`` in one atomic step."""
    write_atomically(link, lambda partial: partial.symlink_to(target.name))
