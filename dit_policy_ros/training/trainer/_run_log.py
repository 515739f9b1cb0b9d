# SPDX-License-Identifier: Apache-2.0
"""The log of a run: JSON lines for programs, TensorBoard for people."""

import json
import math
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.training.trainer._trainer import Progress
from dit_policy_ros.training.trainer._validation import Scores

LOG_FILE = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class RunLog:
    """Writes ``log.jsonl`` and ``tensorboard/`` in a run's folder."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        """Begin a log, or continue after ``step``; lines of later steps are dropped."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOG_FILE
        lines = path.read_text().splitlines() if step and path.is_file() else []
        write_atomically(path, "".join(f"{line}\n" for line in lines if _step_of(line) <= step))
        self._file = path.open("a", buffering=1)
        self._board = SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=step + 1 if step else None)

    def progress(self, now: Progress, loss: float, samples_per_second: float) -> None:
        """Log training; ``loss`` is the mean since the last line."""
        values = {"loss": loss, "rate": now.learning_rate, "gradient_norm": now.gradient_norm}
        values["samples_per_second"] = samples_per_second
        self._write({"step": now.step, **values})
        for name, value in values.items():
            self._board.add_scalar(f"train/{name}", value, now.step)

    def scores(self, step: int, scores: Scores) -> None:
        """Log a validation."""
        tasks = {
            score.task: {"frames": score.frames, "loss": score.loss, "action_error": score.action_error}
            for score in scores.tasks
        }
        means = {"loss": scores.loss, "action_error": scores.action_error}
        self._write({"step": step, "validation": {**means, "tasks": tasks}})
        for name, value in means.items():
            self._board.add_scalar(f"validation/{name}", value, step)
        for task, values in tasks.items():
            self._board.add_scalar(f"validation action error/{task}", values["action_error"], step)
            self._board.add_scalar(f"validation loss/{task}", values["loss"], step)

    def close(self) -> None:
        """Write what is buffered and close the files."""
        self._file.close()
        self._board.close()

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps({**line, "time": round(time.time(), 3)}) + "\n")


def _step_of(line: str) -> float:
    """The step of a log line; infinite for a line that a crash left incomplete."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf
