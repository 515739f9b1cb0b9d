# SPDX-License-Identifier: Apache-2.0
"""Makes a saved episode part of a LeRobotDataset v3, so that a crash at any instant does no harm.

LeRobot reads as many episodes and frames as `meta/info.json` says; files and rows beyond are not looked at.
So an episode is committed in three steps:

1. All new or changed files are written into the episode's own folder (`stage/`).
2. `plan.json` beside them lists them. From here on the commit can always be completed.
3. They are moved to their places, `meta/info.json` last: that moment the dataset has one episode more.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.data.dataset import INFO, read_info
from dit_policy_ros.data.durable import make_folders, remove_durably, sync_file, sync_folder, write_durably
from dit_policy_ros.data.recording._stage import stage_episode

PLAN, _STAGE = "plan.json", "stage"


def commit_episode(root: Path, folder: Path) -> int:
    """Adds the saved episode in `folder` to the dataset and removes the folder; returns the episode's index.

    The commit may have been begun by a process that has ended. Raises DatasetError or OSError; then nothing
    of the episode is visible and the commit can be tried again.
    """
    plan = _unfinished_plan(root, folder) or _prepare(root, folder)
    _apply(root, folder / _STAGE, [Path(name) for name in plan["files"]])
    remove_durably(folder)
    return int(plan["episode_index"])


def _unfinished_plan(root: Path, folder: Path) -> dict[str, Any] | None:
    """The plan of a commit that was interrupted, if it still fits the dataset."""
    path = folder / PLAN
    if not path.exists():
        return None
    plan: dict[str, Any] = json.loads(path.read_bytes())
    episodes = read_info(root)["total_episodes"] if (root / INFO).exists() else 0
    if episodes in (plan["episode_index"], plan["episode_index"] + 1):
        return plan
    path.unlink()  # somebody else changed the dataset in between: begin again from the journal
    sync_folder(folder)
    return None


def _prepare(root: Path, folder: Path) -> Mapping[str, Any]:
    """Stages everything and writes the plan."""
    stage = folder / _STAGE
    if stage.exists():
        shutil.rmtree(stage)
    index = stage_episode(root, folder, stage)
    files = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
    files.sort(key=lambda name: name == INFO)  # the one that counts comes last
    for name in files:
        sync_file(stage / name)
    for place in [stage, *(path for path in stage.rglob("*") if path.is_dir())]:
        sync_folder(place)
    plan = {"episode_index": index, "files": [name.as_posix() for name in files]}
    write_durably(folder / PLAN, json.dumps(plan).encode())
    return plan


def _apply(root: Path, stage: Path, files: list[Path]) -> None:
    """Moves the staged files, the last one after all others; those that are gone were moved before."""
    *most, last = files
    for name in most:
        make_folders((root / name).parent)
        _move(stage / name, root / name)
    for place in {(root / name).parent for name in most}:
        sync_folder(place)
    _move(stage / last, root / last)
    sync_folder((root / last).parent)


def _move(source: Path, target: Path) -> None:
    if source.exists():
        os.replace(source, target)
