# SPDX-License-Identifier: Apache-2.0
"""The progress of a run, for whoever shows it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many frames are not trained on.

    Attributes:
        flagged: the recorder flagged them or what they observe.
        failed: the operator labelled their episodes failures.
        overruled: a policy drove, and a person took over later in the episode.
    """

    flagged: int = 0
    failed: int = 0
    overruled: int = 0


class TrainObserver:
    """Receives the progress of a run; override the methods that you need."""

    def on_described(self, dataset: str, notices: Sequence[str]) -> None:
        """A dataset's features were read, before anything is decoded. notices: what one should know."""

    def on_robots(self, lines: Sequence[str]) -> None:
        """With ``unified_actions``: which entries of which robot are in which slots."""

    def on_images(self, reason: str) -> None:
        """Where the images of each step will be read, and why, as a sentence."""

    def on_adapted(self, lines: Sequence[str]) -> None:
        """The policy starts from another robot's; lines: what was kept and what was made anew."""

    def on_read(self, done: int, total: int) -> None:
        """Frames of the datasets have been read."""

    def on_encoded(self, done: int, total: int) -> None:
        """Images have been encoded by a frozen vision encoder."""

    def on_start(self, step: int, frames: int, left_out: LeftOut) -> None:
        """Training begins after ``step``, on all ``frames`` but those that are left out."""

    def on_step(self, step: int, note: str) -> None:
        """A step is done; ``note`` is a short text for people."""
