# SPDX-License-Identifier: Apache-2.0
"""The log of a run: JSON lines for programs, TensorBoard and on request wandb for people."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.training.trainer._trainer import Progress
from dit_policy_ros.training.trainer._validation import Scores
from dit_policy_ros.training.trainer._wandb import WandbLog

LOG_FILE = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class RunLog:
    """Writes ``log.jsonl`` and ``tensorboard/`` in a run's folder."""

    def __init__(self, folder: Path, step: int = 0, wandb: WandbLog | None = None) -> None:
        """Begin a log, or continue after ``step``; lines of later steps are dropped.

        Args:
            folder: of the run.
            step: the last one that was taken.
            wandb: also gets the figures; this log closes it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOG_FILE
        lines = path.read_text().splitlines() if step and path.is_file() else []
        write_atomically(path, "".join(f"{line}\n" for line in lines if _step_of(line) <= step))
        self._file = path.open("a", buffering=1)
        self._board = SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=step + 1 if step else None)
        self._wandb = wandb

    def progress(self, now: Progress, loss: float, samples_per_second: float) -> None:
        """Log training; ``loss`` is the mean since the last line."""
        values = {"loss": loss, "rate": now.learning_rate, "gradient_norm": now.gradient_norm}
        values["samples_per_second"] = samples_per_second
        self._write({"step": now.step, **values})
        self._plot({f"train/{name}": value for name, value in values.items()}, now.step)

    def scores(self, step: int, scores: Scores) -> None:
        """Log a validation."""
        tasks = {
            score.task: {"frames": score.frames, "loss": score.loss, "action_error": score.action_error}
            for score in scores.tasks
        }
        means = {"loss": scores.loss, "action_error": scores.action_error}
        self._write({"step": step, "validation": {**means, "tasks": tasks}})
        plots = {f"validation/{name}": value for name, value in means.items()}
        for task, values in tasks.items():
            plots[f"validation action error/{task}"] = values["action_error"]
            plots[f"validation loss/{task}"] = values["loss"]
        self._plot(plots, step)

    def close(self) -> None:
        """Write what is buffered and close the files."""
        self._file.close()
        self._board.close()
        if self._wandb is not None:
            self._wandb.close()

    def _plot(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.write(values, step)

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps({**line, "time": round(time.time(), 3)}) + "\n")


def _step_of(line: str) -> float:
    """The step of a log line; infinite for a line that a crash left incomplete."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf
