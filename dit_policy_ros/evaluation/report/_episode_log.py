# SPDX-License-Identifier: Apache-2.0
"""Writes each episode of an evaluation to disk as soon as it ends, so that an interrupt loses none."""

import dataclasses
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.sim.tasks import Outcome, Task, find_task

EPISODES_FILE = "episodes.jsonl"


class EpisodeLog:
    """The episodes of an evaluation in a JSON lines file: first what is evaluated, then a line per episode.

    Attributes:
        outcomes: by task and seed, those read from the file included.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], resume: bool) -> None:
        """Start a log, or continue one.

        Args:
            folder: of the evaluation.
            facts: what must be equal for episodes to be counted together, as JSON values.
            resume: keep the episodes in the folder; otherwise they are overwritten.

        Raises:
            DitPolicyError: the folder's episodes have other facts, the file is not such a log, or another
                evaluation is writing to it.
        """
        self.outcomes: dict[tuple[Task, int], Outcome] = {}
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / EPISODES_FILE
        self._file = path.open("a")
        try:
            # The kernel releases the lock when the process ends, even after kill -9.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise DitPolicyError(
                f"{path}: another evaluation is writing to it. Wait for it, or choose another --output"
            ) from error
        # Every complete line ends with a newline; what follows the last one was cut off by a crash.
        kept = path.read_bytes().rpartition(b"\n")[0] if resume and path.is_file() else b""
        if kept:
            self._read(path, kept.decode(errors="replace").split("\n"), json.loads(json.dumps(facts)))
            os.truncate(path, len(kept) + 1)  # the complete lines stay untouched, so a crash cannot lose them
        else:
            os.truncate(path, 0)
            self._write(facts)

    def add(self, seed: int, outcome: Outcome) -> None:
        """Write down an episode that has ended."""
        self.outcomes[outcome.task, seed] = outcome
        row = dataclasses.asdict(outcome) | {"task": outcome.task.instruction, "seed": seed}
        self._write(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def _read(self, path: Path, lines: list[str], facts: Mapping[str, Any]) -> None:
        try:
            stored, *rows = map(json.loads, lines)
            for row in rows:
                task, seed = find_task(row.pop("task")), row.pop("seed")
                row |= {name: tuple(row[name]) for name in ("did", "hold_reasons")}
                self.outcomes[task, seed] = Outcome(task, **row)
            names = sorted({*stored, *facts})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DitPolicyError(f"{path}: expected the episodes of an evaluation, got {error!r}") from error
        differing = [
            f"{name} was {stored.get(name)!r}, is {facts.get(name)!r}"
            for name in names
            if stored.get(name) != facts.get(name)
        ]
        if differing:
            raise DitPolicyError(
                f"{path}: these are episodes of another evaluation: {'; '.join(differing)}. "
                f"Choose another --output, or start over without --resume"
            )
