# SPDX-License-Identifier: Apache-2.0
"""Sets episodes aside that cannot be added to the dataset, so that they block no other episode.

They lie in `journal/quarantine`, unchanged, each with the reason. They can be tried again, or removed.
"""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dit_policy_ros.core.atomic_files import (
    make_folders,
    remove_durably,
    sync_folder,
    write_atomically,
)
from dit_policy_ros.data.dataset import JOURNAL_FOLDER
from dit_policy_ros.data.recording._journal_format import STAGING_FOLDER
from dit_policy_ros.data.recording.staging import check_extendable

logger = logging.getLogger(__name__)

_FOLDER, _REASON_FILE = "quarantine", "reason.txt"
# Errors of the disk or the machine, which say nothing about the episode.
_NOT_THE_EPISODE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.ENOTCONN,
}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An episode that could not be added to the dataset, and why."""

    folder: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.folder}: {self.reason}"


def quarantined_episodes(root: Path) -> tuple[Quarantined, ...]:
    """The episodes in quarantine, oldest first. Changes nothing."""
    place = root / JOURNAL_FOLDER / _FOLDER
    if not place.is_dir():
        return ()
    folders = sorted(path for path in place.glob("[0-9]*") if path.is_dir())
    return tuple(Quarantined(folder, _reason(folder)) for folder in folders)


def quarantine(root: Path, journal: Path, reason: str) -> Quarantined:
    """Moves an episode's journal into quarantine. Raises OSError; the journal is then where it was."""
    place = root / JOURNAL_FOLDER / _FOLDER
    make_folders(place)
    with contextlib.suppress(OSError):  # the disk may be full; moving needs no space
        shutil.rmtree(journal / STAGING_FOLDER, ignore_errors=True)
        write_atomically(journal / _REASON_FILE, reason, durable=True)
    target = _free_name(place, journal.name)
    os.replace(journal, target)
    sync_folder(place)
    sync_folder(journal.parent)
    logger.warning("an episode cannot be added to %s and is now in %s, not lost: %s", root, target, reason)
    return Quarantined(target, reason)


def release_quarantined(root: Path, next_number: int) -> list[Path]:
    """Moves all episodes back among those that wait to be added; returns their journals.

    next_number: the first free number among those that wait. Raises OSError.
    """
    journals = []
    for number, episode in enumerate(quarantined_episodes(root), start=next_number):
        journal = root / JOURNAL_FOLDER / f"{number:06d}"
        os.replace(episode.folder, journal)
        (journal / _REASON_FILE).unlink(missing_ok=True)
        journals.append(journal)
    if journals:
        sync_folder(root / JOURNAL_FOLDER / _FOLDER)
        sync_folder(root / JOURNAL_FOLDER)
    tidy(root)
    return journals


def delete_quarantined(root: Path) -> int:
    """Removes all episodes in quarantine for good; returns their number. Raises OSError."""
    episodes = quarantined_episodes(root)
    for episode in episodes:
        remove_durably(episode.folder)
    tidy(root)
    return len(episodes)


def keep_quarantine(source: Path, target: Path) -> None:
    """Moves the quarantine of one dataset folder to another one that has none. Raises OSError."""
    if quarantined_episodes(source):
        make_folders(target / JOURNAL_FOLDER)
        os.replace(source / JOURNAL_FOLDER / _FOLDER, target / JOURNAL_FOLDER / _FOLDER)
        sync_folder(target / JOURNAL_FOLDER)


def tidy(root: Path) -> None:
    """Removes the quarantine's folder and the journal's, if they are empty."""
    for folder in (root / JOURNAL_FOLDER / _FOLDER, root / JOURNAL_FOLDER):
        with contextlib.suppress(OSError):  # not empty, or removed already
            folder.rmdir()


def is_unusable(root: Path, error: Exception) -> bool:
    """Whether an episode could not be staged because of the episode itself.

    Not if the disk is full or gone, memory is short, or the dataset cannot be extended at all: then nothing
    is wrong with the episode, and it waits.
    """
    for each in _chain(error):
        if isinstance(each, MemoryError) or getattr(each, "errno", None) in _NOT_THE_EPISODE:
            return False
    probe = root / JOURNAL_FOLDER / "probe"
    try:
        write_atomically(probe, bytes(4096), durable=True)
        probe.unlink()
        check_extendable(root)
    except Exception:  # noqa: BLE001 - whatever it is, it is not the episode
        return False
    return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the errors that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(folder: Path) -> str:
    try:
        return (folder / _REASON_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return "the reason could not be stored"


def _free_name(place: Path, name: str) -> Path:
    number, target = 1, place / name
    while target.exists():
        number += 1
        target = place / f"{name}_{number}"
    return target
