# SPDX-License-Identifier: Apache-2.0
"""An episode in a bag, and what became of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_policy_ros.core.recording import EpisodeCheck


@dataclass(frozen=True, slots=True)
class Segment:
    """An episode in a bag, between two times of receipt [ns].

    changes: later instructions with their start times [ns], in order. problem: why it cannot be converted.
    cut_short: why it ended although nobody ended it; empty if somebody did.
    """

    start_ns: int
    stop_ns: int
    task: str
    success: bool | None = None
    changes: tuple[tuple[int, str], ...] = ()
    problem: str = ""
    cut_short: str = ""


@dataclass(frozen=True, slots=True)
class Converted:
    """The result of one segment: the episode's index, or the problem. note: what differs from the request."""

    segment: Segment
    episode_index: int
    check: EpisodeCheck
    frames: int
    problem: str = ""
    note: str = ""


def source_of(path: Path, segment: Segment) -> dict[str, Any]:
    """The entry of the side table that says where an episode comes from."""
    return {"bag": path.name, "bag_start_ns": segment.start_ns}
