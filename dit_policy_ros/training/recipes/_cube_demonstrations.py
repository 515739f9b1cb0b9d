# SPDX-License-Identifier: Apache-2.0
"""The demonstrations of the recipe ``cube_tasks``: several processes, each with a dataset of its own."""

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dit_policy_ros.core.child_processes import Child, start, stop_all
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.sim.robot import CAMERAS
from dit_policy_ros.sim.tasks import Task
from dit_policy_ros.training.recipes._stage_progress import progress_bar

SCENES = 1_000_000  # seed of the first scene; dit_policy evaluate begins at 10000
_APART = 1_000_000  # between the first seeds of two processes
KNOCKS = 0.7  # [1/s] that lead the arms astray
PICTURE_EVERY = 5  # [frames]
_LOOK = 1.0  # [s] between two looks at how far they are


def demonstration_stage(work: Path, count: int, tasks: Sequence[Task], processes: int) -> None:
    """Record ``count`` demonstrations of each task; what an interrupted run has recorded counts.

    Raises DitPolicyError where a process fails.
    """
    done = work / "dataset.done"
    if done.is_file():
        return
    folders = [work / f"dataset_{part}" for part in range(processes)]
    before = [episodes(folder) for folder in folders]
    children = []
    with progress_bar() as bar:
        line = bar.add_task("demonstrations", total=count * len(tasks), note="")
        try:
            for part, folder in enumerate(folders):
                share = count // processes + (part < count % processes)
                missing = share - before[part] // len(tasks)
                if missing > 0:
                    # Seeds of attempts that failed are skipped with those that were kept.
                    seed = SCENES + part * _APART + 2 * before[part]
                    children.append(_start(folder, missing, tasks, seed))
            while any(child.alive for child in children):
                bar.update(line, completed=sum(map(episodes, folders)))
                time.sleep(_LOOK)
            for child in children:
                if code := child.process.returncode:
                    raise DitPolicyError(
                        f"the demonstrations were not recorded: exit code {code}; {child.log} ends with\n"
                        f"{child.output(last_lines=5)}"
                    )
        finally:
            stop_all(children)
        bar.update(line, completed=sum(map(episodes, folders)))
    done.write_text(f"{count} of each task\n")


def datasets(work: Path) -> list[Path]:
    """What was recorded."""
    return [info.parent.parent for info in sorted(work.glob("dataset_*/meta/info.json"))]


def episodes(folder: Path) -> int:
    """How many a dataset has; 0 where there is none yet."""
    with suppress(OSError, ValueError):
        return int(json.loads((folder / "meta" / "info.json").read_text())["total_episodes"])
    return 0


def _start(folder: Path, count: int, tasks: Sequence[Task], seed: int) -> Child:
    asked = ["--output", folder, "--demonstrations", count, "--cameras", *CAMERAS, "--seed", seed]
    asked += ["--lock-step", "--knocks", KNOCKS, "--start-anywhere", "--picture-every", PICTURE_EVERY]
    asked += ["--tasks", *(task.instruction for task in tasks)]
    command = [sys.executable, "-m", "dit_policy_ros.cli.main", "dataset", *map(str, asked)]
    log = folder.with_suffix(".log")
    return start(folder.name, command, {**os.environ, "OMP_NUM_THREADS": "1"}, log)
