# SPDX-License-Identifier: Apache-2.0
"""Finds the episodes that an earlier process left in a dataset's journal: saved and interrupted."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dit_policy_ros.core.atomic_files import empty_trash, remove_durably
from dit_policy_ros.data.dataset import JOURNAL_FOLDER
from dit_policy_ros.data.recording._journal_format import HEADER_FILE, EpisodeOutcome
from dit_policy_ros.data.recording._journal_reader import is_saved, read_journal
from dit_policy_ros.data.recording._journal_writer import mark_saved

MIN_FRAMES = 2  # LeRobot has no statistics for an episode of one frame
_REASON = "interrupted: the recorder ended before the episode was saved"


class Recover(StrEnum):
    """What to do with an interrupted episode."""

    KEEP = "keep"
    DISCARD = "discard"
    ASK = "ask"


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
    """The journals of saved episodes and the interrupted episodes; removes those with too few frames.

    Raises DatasetError if an episode's header cannot be read, or OSError.
    """
    empty_trash(root / JOURNAL_FOLDER)
    saved, interrupted = [], []
    for folder in pending_episodes(root):
        if is_saved(folder):
            saved.append(folder)
            continue
        content = read_journal(folder) if (folder / HEADER_FILE).exists() else None
        if content is None or len(content.tasks) < MIN_FRAMES:
            remove_durably(folder)
            continue
        frames = len(content.tasks)
        interrupted.append(Interrupted(folder, content.tasks[-1], frames, frames / content.header.spec.fps))
    return saved, interrupted


def keep_interrupted(episodes: Iterable[Interrupted]) -> list[Path]:
    """Saves the recorded part of interrupted episodes, marked as recovered; returns their journals."""
    folders = []
    for episode in episodes:
        outcome = EpisodeOutcome(passed=False, reasons=(_REASON,), recovered=True)
        mark_saved(episode.folder, outcome, {})
        folders.append(episode.folder)
    return folders


def discard_interrupted(episodes: Iterable[Interrupted]) -> None:
    """Removes interrupted episodes."""
    for episode in episodes:
        remove_durably(episode.folder)
