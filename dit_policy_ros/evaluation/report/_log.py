# SPDX-License-Identifier: Apache-2.0
"""The episodes of an evaluation, each written down when it ends, so that hours of them are not lost."""

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
    """What an evaluation found so far: a line that says what is evaluated, then one for each episode."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], resume: bool) -> None:
        """Begin a log, or go on with one.

        Args:
            folder: of the evaluation.
            facts: what must be the same for episodes to be counted together; JSON.
            resume: whether to keep the episodes that the folder holds; without, they are overwritten.

        Raises:
            DitPolicyError: the folder holds episodes of something else, or a file that is no such log, or
                another evaluation writes to it.
        """
        self.outcomes: dict[tuple[Task, int], Outcome] = {}
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / EPISODES_FILE
        self._file = path.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however it ends
        except BlockingIOError as error:
            self._file.close()
            raise DitPolicyError(
                f"{path}: another evaluation is writing to it. Wait for it, or choose another --output"
            ) from error
        # Without a last line that was cut off: every one ends with a newline.
        kept = path.read_bytes().rpartition(b"\n")[0] if resume and path.is_file() else b""
        if kept:
            self._read(path, kept.decode(errors="replace").split("\n"), json.loads(json.dumps(facts)))
            os.truncate(path, len(kept) + 1)  # what was kept is not written again: nothing can lose it
        else:
            os.truncate(path, 0)
            self._write(facts)

    def add(self, seed: int, outcome: Outcome) -> None:
        """An episode has ended."""
        self.outcomes[outcome.task, seed] = outcome
        row = dataclasses.asdict(outcome) | {"task": outcome.task.instruction, "seed": seed}
        self._write(row)

    def close(self) -> None:
        """No more episodes."""
        self._file.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def _read(self, path: Path, lines: list[str], facts: Mapping[str, Any]) -> None:
        try:
            found, *rows = map(json.loads, lines)
            for row in rows:
                task, seed = find_task(row.pop("task")), row.pop("seed")
                row |= {name: tuple(row[name]) for name in ("did", "hold_reasons")}
                self.outcomes[task, seed] = Outcome(task, **row)
            names = sorted({*found, *facts})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DitPolicyError(f"{path}: expected the episodes of an evaluation, got {error!r}") from error
        differing = [
            f"{name} was {found.get(name)!r}, is {facts.get(name)!r}"
            for name in names
            if found.get(name) != facts.get(name)
        ]
        if differing:
            raise DitPolicyError(
                f"{path}: these are episodes of another evaluation: {'; '.join(differing)}. "
                f"Choose another --output, or begin anew without --resume"
            )
