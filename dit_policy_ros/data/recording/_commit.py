# SPDX-License-Identifier: Apache-2.0
"""Commits a saved episode to a LeRobotDataset v3; a crash at any instant does no harm.

LeRobot reads as many episodes and frames as `meta/info.json` says and ignores files and rows beyond that. So
an episode is committed in three steps:

1. All new or changed files are written into the staging folder, `stage/` in the episode's journal.
2. `plan.json` in the journal lists them. From then on, the commit can always be completed.
3. The files are moved to their places, `meta/info.json` last. That move adds the episode to the dataset.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.core.atomic_files import (
    make_folders,
    remove_durably,
    sync_folder,
    sync_tree,
    write_atomically,
)
from dit_policy_ros.data.dataset import INFO_FILE, read_info
from dit_policy_ros.data.recording._stage import stage_episode

_PLAN_FILE, _STAGING_FOLDER = "plan.json", "stage"


def commit_episode(root: Path, journal: Path) -> int:
    """Adds a saved episode to the dataset and removes its journal; returns the episode's index.

    It also completes a commit that another process began. Raises DatasetError or OSError; the dataset is then
    unchanged for readers, and the commit can be tried again.
    """
    plan = _interrupted_plan(root, journal) or _stage(root, journal)
    _move_files(root, journal / _STAGING_FOLDER, [Path(name) for name in plan["files"]])
    remove_durably(journal)
    return int(plan["episode_index"])


def _interrupted_plan(root: Path, journal: Path) -> dict[str, Any] | None:
    """The plan of an interrupted commit, if it still fits the dataset."""
    path = journal / _PLAN_FILE
    if not path.exists():
        return None
    plan: dict[str, Any] = json.loads(path.read_bytes())
    episodes = read_info(root)["total_episodes"] if (root / INFO_FILE).exists() else 0
    if episodes in (plan["episode_index"], plan["episode_index"] + 1):
        return plan
    path.unlink()  # another program changed the dataset meanwhile: stage again from the journal
    sync_folder(journal)
    return None


def _stage(root: Path, journal: Path) -> Mapping[str, Any]:
    """Stages all files and writes the plan."""
    stage = journal / _STAGING_FOLDER
    if stage.exists():
        shutil.rmtree(stage)
    index = stage_episode(root, journal, stage)
    files = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
    files.sort(key=lambda name: name == INFO_FILE)  # last: it makes the episode visible
    sync_tree(stage)
    plan = {"episode_index": index, "files": [name.as_posix() for name in files]}
    write_atomically(journal / _PLAN_FILE, json.dumps(plan), durable=True)
    return plan


def _move_files(root: Path, stage: Path, files: list[Path]) -> None:
    """Moves the staged files, the last one after all others; an interrupted commit has moved some already."""
    *others, last = files
    for name in others:
        make_folders((root / name).parent)
        _move(stage / name, root / name)
    for folder in {(root / name).parent for name in others}:
        sync_folder(folder)
    _move(stage / last, root / last)
    sync_folder((root / last).parent)


def _move(source: Path, target: Path) -> None:
    if source.exists():
        os.replace(source, target)
