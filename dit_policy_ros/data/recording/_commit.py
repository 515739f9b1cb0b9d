# SPDX-License-Identifier: Apache-2.0
"""Commits a saved episode to a LeRobotDataset v3; a crash at any instant does no harm.

LeRobot reads as many episodes and frames as `meta/info.json` says and ignores files and rows beyond that. So
an episode is committed in three steps:

1. All new or changed files are written into the staging folder, `stage/` in the episode's journal.
2. `plan.json` in the journal lists them. From then on, the commit can always be completed, as long as no
   other program changes the dataset. If one did, which a checksum of info.json shows, the plan is void: the
   files are written again, for the dataset as it is now.
3. The files are moved to their places, `meta/info.json` last. That move adds the episode to the dataset.
"""

import hashlib
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
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import INFO_FILE, SIDE_TABLE, read_info
from dit_policy_ros.data.recording._journal_format import PLAN_FILE, STAGING_FOLDER
from dit_policy_ros.data.recording._quarantine import is_unusable
from dit_policy_ros.data.recording.staging import EPISODES, forget_episode, renumber_episodes, stage_episode


class UnusableEpisodeError(DatasetError):
    """An episode cannot be added to the dataset, however often it is tried."""


def commit_episode(root: Path, journal: Path) -> int:
    """Adds a saved episode to the dataset and removes its journal; returns the episode's index.

    It also completes a commit that another process began. The dataset is unchanged for readers if it fails.

    Raises:
        UnusableEpisodeError: the episode itself is damaged, or cannot be brought into the dataset's format.
        DatasetError, OSError or another error: the commit can be tried again.
    """
    if (journal / PLAN_FILE).exists() and not _read_plan(journal) and _is_moved(journal):
        raise UnusableEpisodeError(
            f"{PLAN_FILE} is damaged, and its files are gone: nobody knows whether the episode is in the "
            f"dataset already. If `dit_policy inspect` does not list it, remove its {PLAN_FILE} and retry"
        )
    plan = _interrupted_plan(root, journal)
    if plan is None:
        try:
            plan = _stage(root, journal)
        except Exception as error:
            if is_unusable(root, error):
                raise UnusableEpisodeError(_as_text(error)) from error
            raise
    _move_files(root, journal / STAGING_FOLDER, [Path(name) for name in plan["files"]])
    remove_durably(journal)
    return int(plan["episode_index"])


def _interrupted_plan(root: Path, journal: Path) -> dict[str, Any] | None:
    """The plan of an interrupted commit, if it is still valid."""
    path = journal / PLAN_FILE
    if not path.exists():
        return None
    plan = _read_plan(journal) or {"episode_index": -1, "files": []}
    info = journal / STAGING_FOLDER / INFO_FILE
    if _is_moved(journal):
        if _is_counted(root, plan):
            return plan
    elif plan.get("info", "") == _checksum(root):
        return plan
    rows = [name for name in plan["files"] if Path(name).parts[:2] == EPISODES]
    if info.exists() and any(not (journal / STAGING_FOLDER / name).exists() for name in rows):
        renumber_episodes(root)  # the other program has counted this episode already
        info.unlink()
        sync_folder(info.parent)
        return plan
    if rows and info.exists() and (root / INFO_FILE).exists():
        forget_episode(root, plan["episode_index"])
    path.unlink()
    sync_folder(journal)
    return None


def _read_plan(journal: Path) -> dict[str, Any]:
    """The content of the plan; empty if it is damaged."""
    try:
        plan = json.loads((journal / PLAN_FILE).read_bytes())
        is_good = type(plan["episode_index"]) is int and all(
            isinstance(name, str) and ".." not in Path(name).parts and not Path(name).is_absolute()
            for name in plan["files"]
        )
    except (ValueError, TypeError, LookupError):
        return {}
    return plan if is_good else {}


def _is_moved(journal: Path) -> bool:
    """Whether info.json, which is moved last, is no longer staged."""
    return not (journal / STAGING_FOLDER / INFO_FILE).exists()


def _is_counted(root: Path, plan: Mapping[str, Any]) -> bool:
    """Whether the dataset has the plan's episode; a stage that was lost looks like one that was moved."""
    return (root / INFO_FILE).exists() and plan["episode_index"] < read_info(root)["total_episodes"]


def _checksum(root: Path) -> str | None:
    """Of info.json, which changes with every episode added or removed; None if there is no dataset."""
    path = root / INFO_FILE
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _stage(root: Path, journal: Path) -> Mapping[str, Any]:
    """Stages all files and writes the plan."""
    stage = journal / STAGING_FOLDER
    if stage.exists():
        shutil.rmtree(stage)
    checksum = _checksum(root)
    index = stage_episode(root, journal, stage)
    files = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
    files.sort(key=_order)
    sync_tree(stage)
    names = [name.as_posix() for name in files]
    plan = {"episode_index": index, "info": checksum, "files": names}
    write_atomically(journal / PLAN_FILE, json.dumps(plan), durable=True)
    return plan


def _order(name: Path) -> int:
    """The order in which files are moved: the more another program would make of a file, the later.

    LeRobot overwrites data and videos that no episode names, but counts statistics and rows of episodes that
    it finds. So these come immediately before info.json.
    """
    last = [name == SIDE_TABLE, name.name == "stats.json", name.parts[:2] == EPISODES, name == INFO_FILE]
    return last.index(True) + 1 if any(last) else 0


def _move_files(root: Path, stage: Path, files: list[Path]) -> None:
    """Moves the staged files in their order; an interrupted commit has moved some already."""
    early = [name for name in files if _order(name) == 0]
    for name in files:
        make_folders((root / name).parent)
    for name in early:
        _move(stage / name, root / name)
    for folder in {(root / name).parent for name in early}:
        sync_folder(folder)
    for name in files[len(early) :]:  # without a pause: what another program does meanwhile is hard to mend
        _move(stage / name, root / name)
    for folder in {(root / name).parent for name in files}:
        sync_folder(folder)


def _as_text(error: Exception) -> str:
    return str(error) if isinstance(error, DatasetError) else repr(error)


def _move(source: Path, target: Path) -> None:
    if source.exists():
        os.replace(source, target)
