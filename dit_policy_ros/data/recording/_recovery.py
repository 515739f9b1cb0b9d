# SPDX-License-Identifier: Apache-2.0
"""What an earlier process left in a dataset's journal: saved episodes to be added, and interrupted ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dit_policy_ros.data.dataset import JOURNAL
from dit_policy_ros.data.durable import empty_trash, remove_durably
from dit_policy_ros.data.recording._journal import HEADER, EpisodeLabel, is_saved, read_journal, write_label

LEAST_FRAMES = 2  # LeRobot keeps no statistics of an episode of one frame
_REASON = "interrupted: the recorder ended before the episode was saved"


class Recover(StrEnum):
    """What becomes of an episode that was being recorded when the process ended."""

    KEEP = "keep"
    DISCARD = "discard"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An episode that was being recorded when the process ended."""

    folder: Path
    task: str
    frames: int
    seconds: float

    def __str__(self) -> str:
        return f"'{self.task}', {self.frames} frames ({self.seconds:.1f} s)"


def left_behind(root: Path) -> list[Path]:
    """The folders of all episodes in a dataset's journal, oldest first; only looks."""
    journal = root / JOURNAL
    return sorted(path for path in journal.glob("[0-9]*") if path.is_dir()) if journal.is_dir() else []


def next_folder(root: Path) -> Path:
    """Where the next episode is recorded."""
    numbers = [int(path.name) for path in left_behind(root)]
    return root / JOURNAL / f"{max(numbers, default=-1) + 1:06d}"


def examine(root: Path) -> tuple[list[Path], list[Interrupted]]:
    """The saved and the interrupted episodes in a dataset's journal; removes what holds nothing.

    Raises DatasetError if an episode's header cannot be read, or OSError.
    """
    empty_trash(root / JOURNAL)
    saved, interrupted = [], []
    for folder in left_behind(root):
        if is_saved(folder):
            saved.append(folder)
            continue
        content = read_journal(folder) if (folder / HEADER).exists() else None
        if content is None or len(content.tasks) < LEAST_FRAMES:
            remove_durably(folder)
            continue
        frames = len(content.tasks)
        interrupted.append(Interrupted(folder, content.tasks[-1], frames, frames / content.layout.fps))
    return saved, interrupted


def keep(episodes: Iterable[Interrupted]) -> list[Path]:
    """Saves interrupted episodes as far as they got, marked as such; returns their folders."""
    folders = []
    for episode in episodes:
        label = EpisodeLabel(passed=False, reasons=(_REASON,), recovered=True)
        write_label(episode.folder, label, {})
        folders.append(episode.folder)
    return folders


def discard(episodes: Iterable[Interrupted]) -> None:
    """Removes interrupted episodes."""
    for episode in episodes:
        remove_durably(episode.folder)
