# SPDX-License-Identifier: Apache-2.0
"""A training run on disk, laid out as ``lerobot-train`` does it.

train.yaml                                   the run's options
log.jsonl  tensorboard/
checkpoints/001000/pretrained_model/         what the policy node and LeRobot load
checkpoints/001000/training_state/           what --resume goes on from
checkpoints/last -> 001000                   the newest that is whole
checkpoints/best -> 001000                   the one with the least action error in validation
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from dit_policy_ros.core.atomic_files import sync_tree, write_atomically
from dit_policy_ros.training.config import TrainConfig, config_from_mapping
from dit_policy_ros.training.errors import TrainingError

CONFIG_FILE = "train.yaml"
MODEL_FOLDER = "pretrained_model"
STATE_FOLDER = "training_state"
_SCORE_FILE = "validation.json"


class RunFolder:
    """The folder of one run; a checkpoint in it is whole or not there."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser().resolve()
        self.checkpoints = self.path / "checkpoints"

    @property
    def last(self) -> Path | None:
        """The newest checkpoint; None before the first."""
        link = self.checkpoints / "last"
        return link.resolve() if link.exists() else None

    def begin(self, config: TrainConfig) -> None:
        """Make the folder of a new run; TrainingError if there is one already."""
        if (self.path / CONFIG_FILE).exists():
            raise TrainingError(
                f"--output {self.path}: holds a run already; go on with it (--resume), name another folder, "
                f"or remove it"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_config(config)

    def write_config(self, config: TrainConfig) -> None:
        """Keep the run's options."""
        write_atomically(self.path / CONFIG_FILE, yaml.safe_dump(config.to_mapping(), sort_keys=False))

    def read_config(self) -> TrainConfig:
        """The options of the run; TrainingError where there is none."""
        return read_config(self.path / CONFIG_FILE)

    def save(
        self,
        step: int,
        keep: int,
        write_state: Callable[[Path], None],
        write_model: Callable[[Path], None],
        is_main: bool = True,
        wait: Callable[[], None] = lambda: None,
        score: float | None = None,
    ) -> Path:
        """Write a checkpoint, point ``last`` and ``best`` at the right ones and remove the oldest.

        Args:
            step: after which it is.
            keep: newest checkpoints that stay, beside the best.
            write_state: writes the training state into a folder; called in every process.
            write_model: writes the policy to a folder; called in one.
            is_main: whether this process is that one.
            wait: returns when all processes have called it.
            score: what ``best`` is the least of; None where there is none.
        """
        target = self.checkpoints / f"{step:06d}"
        partial = self.checkpoints / f".{step:06d}.partial"
        if is_main:
            for leftover in self.checkpoints.glob(".*.partial"):  # of a run that was killed
                shutil.rmtree(leftover)
            (partial / STATE_FOLDER).mkdir(parents=True)
        wait()
        write_state(partial / STATE_FOLDER)
        wait()
        if not is_main:
            return target
        write_model(partial / MODEL_FOLDER)
        if score is not None:
            (partial / _SCORE_FILE).write_text(json.dumps({"action_error": score}))
        sync_tree(partial)
        shutil.rmtree(target, ignore_errors=True)  # of a run that was resumed before this step
        partial.rename(target)
        _point(self.checkpoints / "last", target)
        best = _score_of(self.checkpoints / "best")
        if score is not None and (best is None or score < best):
            _point(self.checkpoints / "best", target)
        self._prune(keep)
        return target

    def _prune(self, keep: int) -> None:
        held = {(self.checkpoints / name).resolve() for name in ("last", "best")}
        steps = [path for path in self.checkpoints.iterdir() if path.name.isdigit()]
        for path in sorted(steps, key=lambda path: int(path.name))[:-keep]:
            if path not in held:
                shutil.rmtree(path)


def read_config(path: Path) -> TrainConfig:
    """Options from a YAML file; TrainingError names what is wrong with it."""
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


def _point(link: Path, target: Path) -> None:
    """Make ``link`` name its neighbour ``target``; it names the old or the new one at any moment."""
    write_atomically(link, lambda partial: partial.symlink_to(target.name))
