# SPDX-License-Identifier: Apache-2.0
"""Records the demonstrations of the recipe ``cube_tasks``, by several processes with a dataset each."""

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

FIRST_SEED = 1_000_000  # of the scenes; dit_policy evaluate begins at 10000
_SEEDS_PER_PROCESS = 1_000_000
KNOCKS = 0.7  # [1/s] how often a knock displaces the arms
PICTURE_EVERY = 5  # [frames]
_POLL = 1.0  # [s]


def record_demonstrations(work: Path, count: int, tasks: Sequence[Task], processes: int) -> None:
    """Record ``count`` demonstrations of each task; those of an interrupted run count.

    Raises:
        DitPolicyError: a process fails; the message shows the end of its log.
    """
    done = work / "dataset.done"
    if done.is_file():
        return
    folders = [work / f"dataset_{part}" for part in range(processes)]
    recorded = [count_episodes(folder) for folder in folders]
    children = []
    with progress_bar() as bar:
        line = bar.add_task("demonstrations", total=count * len(tasks), note="")
        try:
            for part, folder in enumerate(folders):
                share = count // processes + (part < count % processes)
                missing = share - recorded[part] // len(tasks)
                if missing > 0:
                    # Skips twice the recorded number of seeds, because failed attempts used some, too.
                    seed = FIRST_SEED + part * _SEEDS_PER_PROCESS + 2 * recorded[part]
                    children.append(_start_recording(folder, missing, tasks, seed))
            while any(child.alive for child in children):
                bar.update(line, completed=sum(map(count_episodes, folders)))
                time.sleep(_POLL)
            for child in children:
                if code := child.process.returncode:
                    raise DitPolicyError(
                        f"the demonstrations were not recorded: exit code {code}; {child.log} ends with\n"
                        f"{child.output(last_lines=5)}"
                    )
        finally:
            stop_all(children)
        bar.update(line, completed=sum(map(count_episodes, folders)))
    done.write_text(f"{count} of each task\n")


def dataset_folders(work: Path) -> list[Path]:
    """The datasets that were recorded."""
    return [info.parent.parent for info in sorted(work.glob("dataset_*/meta/info.json"))]


def count_episodes(folder: Path) -> int:
    """The number of episodes in a dataset; 0 if it does not exist yet."""
    with suppress(OSError, ValueError):
        return int(json.loads((folder / "meta" / "info.json").read_text())["total_episodes"])
    return 0


def recording_command(folder: Path, count: int, tasks: Sequence[Task], seed: int) -> list[str]:
    """The command that records ``count`` demonstrations of each task; scenes begin at ``seed``."""
    options = ["--output", folder, "--demonstrations", count, "--cameras", *CAMERAS, "--seed", seed]
    options += ["--lock-step", "--knocks", KNOCKS, "--start-anywhere", "--picture-every", PICTURE_EVERY]
    for task in tasks:
        options += ["--task", task.instruction]
    return [sys.executable, "-m", "dit_policy_ros.cli.main", "dataset", *map(str, options)]


def _start_recording(folder: Path, count: int, tasks: Sequence[Task], seed: int) -> Child:
    command, log = recording_command(folder, count, tasks, seed), folder.with_suffix(".log")
    return start(folder.name, command, {**os.environ, "OMP_NUM_THREADS": "1"}, log)
