# SPDX-License-Identifier: Apache-2.0
"""Recovers the episodes that an earlier process left in a dataset's journal: saved, interrupted, quarantined.

The functions with `offline` in their names, and `resolve_quarantine`, need no recorder and no robot contract.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dit_policy_ros.core.atomic_files import empty_trash, remove_durably
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import JOURNAL_FOLDER, check_writable
from dit_policy_ros.data.lerobot_calls import preserve_root_logger
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.recording._committer import Committer
from dit_policy_ros.data.recording._journal_format import HEADER_FILE, MIN_FRAMES, EpisodeOutcome
from dit_policy_ros.data.recording._journal_reader import is_saved, read_journal
from dit_policy_ros.data.recording._journal_writer import mark_saved
from dit_policy_ros.data.recording._quarantine import (
    delete_quarantined,
    quarantine,
    quarantined_episodes,
    release_quarantined,
    tidy,
)

_REASON = "interrupted: the recorder ended before the episode was saved"


class Recover(StrEnum):
    """What to do with an interrupted episode."""

    KEEP = "keep"
    DISCARD = "discard"
    ASK = "ask"


class QuarantineAction(StrEnum):
    """What to do with the episodes in quarantine: add them to the dataset after all, or remove them."""

    RETRY = "retry"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An episode that was being recorded when the process ended. task: its last instruction."""

    folder: Path
    task: str
    frames: int
    seconds: float  # duration [s]

    def __str__(self) -> str:
        return f"'{self.task}', {self.frames} frames ({self.seconds:.1f} s)"


def pending_episodes(root: Path) -> list[Path]:
    """The journals of all episodes that are not in the dataset yet, oldest first. Changes nothing."""
    folder = root / JOURNAL_FOLDER
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir()) if folder.is_dir() else []


def next_journal(root: Path) -> Path:
    """The folder for the next episode's journal."""
    numbers = [int(path.name) for path in pending_episodes(root)]
    return root / JOURNAL_FOLDER / f"{max(numbers, default=-1) + 1:06d}"


def find_episodes(root: Path) -> tuple[list[Path], list[Interrupted]]:
    """The journals of saved episodes and the interrupted episodes; removes those that had hardly begun.

    An interrupted episode that cannot be read goes into quarantine. Raises OSError.
    """
    empty_trash(root / JOURNAL_FOLDER)
    saved, interrupted = [], []
    for folder in pending_episodes(root):
        if is_saved(folder):
            saved.append(folder)
            continue
        if not (folder / HEADER_FILE).exists():
            remove_durably(folder)
            continue
        try:
            content = read_journal(folder)
        except DatasetError as error:
            quarantine(root, folder, f"{_REASON}, and {error}")
            continue
        frames = len(content.tasks)
        if frames < MIN_FRAMES:
            if content.vectors < content.header.spec.fps:  # less than a second
                remove_durably(folder)
            else:
                what = f"{frames} whole frames are in its files, but the vectors of {content.vectors}"
                quarantine(root, folder, f"{_REASON}, and {what}")
            continue
        interrupted.append(Interrupted(folder, content.tasks[-1], frames, frames / content.header.spec.fps))
    return saved, interrupted


def keep_interrupted(episodes: Iterable[Interrupted]) -> list[Path]:
    """Saves the recorded part of interrupted episodes, marked as recovered; returns their journals."""
    folders = []
    for episode in episodes:
        outcome = EpisodeOutcome(passed=False, reasons=(_REASON,), recovered=True)
        mark_saved(episode.folder, outcome, {}, episode.frames)
        folders.append(episode.folder)
    return folders


def discard_interrupted(episodes: Iterable[Interrupted]) -> None:
    """Removes interrupted episodes."""
    for episode in episodes:
        remove_durably(episode.folder)


def recover_offline(root: Path, keep: bool) -> int:
    """Commits the saved episodes in the journal, and commits or removes the interrupted ones.

    Episodes that cannot be added go into quarantine; see `quarantined_episodes`.

    Args:
        root: the dataset.
        keep: commit interrupted episodes, marked as failed, instead of removing them.

    Returns:
        How many episodes were committed.

    Raises:
        DatasetError: the dataset is being recorded, or the disk or the dataset prevents every commit.
    """
    check_writable(root)
    if not pending_episodes(root):
        return 0
    with _locked(root):
        saved, interrupted = find_episodes(root)
        if keep:
            saved += keep_interrupted(interrupted)
        else:
            discard_interrupted(interrupted)
        return _commit(root, saved)


def resolve_quarantine(root: Path, action: QuarantineAction) -> int:
    """Tries to add the episodes in quarantine again, or removes them for good.

    Returns:
        How many were added or removed. Those that still cannot be added are in quarantine again.

    Raises:
        DatasetError: the dataset is being recorded, or has episodes to recover, or the disk or the dataset
            prevents every commit.
    """
    check_writable(root)
    if not quarantined_episodes(root):
        return 0
    if pending_episodes(root):
        raise DatasetError(
            f"dataset {root}: its journal contains episodes; recover them first "
            f"(dit_policy inspect --recover)"
        )
    with _locked(root):
        if action is QuarantineAction.DELETE:
            return delete_quarantined(root)
        return _commit(root, release_quarantined(root, int(next_journal(root).name)))


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Inside, no recorder can write, and an OSError becomes a DatasetError."""
    with preserve_root_logger():
        import lerobot.datasets  # noqa: F401 - the first import adds handlers to the root logger
    lock = DatasetLock(root / JOURNAL_FOLDER / "lock", root)
    try:
        yield
    except OSError as error:
        raise DatasetError(f"dataset {root} could not be recovered: {error}") from error
    finally:
        lock.release()
        tidy(root)


def _commit(root: Path, saved: list[Path]) -> int:
    committer = Committer(root, 0, saved, background=False)
    committer.close()
    return committer.committed
