# SPDX-License-Identifier: Apache-2.0
"""What the diagnostics look at, what they conclude, and where they draw the lines.

Shapes: N observations, K instructions, T steps of a chunk, A action entries, D state entries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Finding(StrEnum):
    """What is wrong with one task; the first four are failures, the others explain them."""

    COLLAPSED = "collapsed"
    IDLE = "idle"
    WRONG_TASK = "wrong task"
    LANGUAGE_BLIND = "language-blind"
    FEW_DEMONSTRATIONS = "few demonstrations"
    UNDERREPRESENTED = "underrepresented"


FAILURES = (Finding.COLLAPSED, Finding.IDLE, Finding.WRONG_TASK, Finding.LANGUAGE_BLIND)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a figure becomes a finding."""

    variance_ratio: float = 0.25  # collapsed below: the spread of the outputs is half of the data's
    motion: float = 0.1  # an observation counts as moving where the demonstrator goes this far
    still: float = 0.25  # a prediction idles where it goes less than this share of the demonstrated way
    idle: float = 0.3  # idle above: share of the moving observations
    margin: float = 0.05  # another instruction is nearer if by more than this share of the distance
    misled: float = 0.5  # wrong task above: share of what guessing among K instructions gives, (K - 1) / K
    language: float = 0.1  # language-blind below
    few: int = 50  # demonstrations; Jones (2026) saw collapse with 20 to 50 ...
    enough: int = 300  # ... and hardly any above 300
    underrepresented: float = 1 / 3  # of the frames of the most frequent task


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a policy predicts on observations whose demonstrated continuation is known."""

    tasks: tuple[str, ...]  # K instructions; those of the dataset and others that the policy knows
    right: NDArray[np.int64]  # (N,) the instruction that was demonstrated
    predicted: Floats  # (N, K, T, A) [rad or m], under every instruction, from the same noise
    demonstrated: Floats  # (N, T, A) [rad or m]
    valid: NDArray[np.bool_]  # (N, T) false after the end of an episode
    state: Floats  # (N, D) [rad or m], the newest
    scale: Floats  # (A,) standard deviation of the dataset's actions; 0 where an entry never moved
    demonstrations: Mapping[str, int]  # by task of the dataset
    frames: Mapping[str, int]  # by task of the dataset


@dataclass(frozen=True, slots=True)
class TaskDiagnosis:
    """The figures of one task and what they mean; NaN where a figure does not exist."""

    task: str
    observations: int
    demonstrations: int
    frames: int
    error: float  # distance of the prediction under the right instruction to the demonstration
    variance_ratio: float  # variance over observations, predicted / demonstrated
    motion_ratio: float  # way gone within a chunk, predicted / demonstrated
    idle_fraction: float  # of the observations where the demonstrator moves
    misled_fraction: float  # of observations: another instruction's prediction is nearer to the demonstration
    mistaken_for: str | None  # the instruction that is nearer most often
    language_ratio: float  # how much instructions change the prediction / how much tasks differ in the data
    nearest: Mapping[str, float] = field(default_factory=dict)  # share of observations, by instruction
    findings: tuple[Finding, ...] = ()

    @property
    def is_failing(self) -> bool:
        """Whether the policy fails at this task, as opposed to being at risk."""
        return any(finding in FAILURES for finding in self.findings)


ADVICE: Mapping[Finding, str] = {
    Finding.COLLAPSED: "the outputs hardly depend on the observation. Record more demonstrations (double "
    "them until there are over 300), train longer (a flat loss is not the end; 50,000 to 100,000 steps are "
    "usual), and look for something that decides what to do and that neither cameras nor joints show",
    Finding.IDLE: "the policy stands still where the demonstrator moves. As for a collapse; cut pauses out "
    "of the demonstrations, too",
    Finding.WRONG_TASK: "word the instructions further apart, sample this task more often in training, or "
    "fine-tune on it alone for some thousand steps",
    Finding.LANGUAGE_BLIND: "the instruction changes next to nothing. Word the instructions further apart, "
    "record the tasks from the same starting poses and scenes, so that only the instruction tells them "
    "apart, train with instruction dropout and raise guidance_scale",
    Finding.FEW_DEMONSTRATIONS: "if these are all that the policy was trained on, collapse is "
    "likely; over 300 it is rare",
    Finding.UNDERREPRESENTED: "more frequent tasks outweigh this one; record more of it or sample it more "
    "often",
}
"""What to do about it, after the experience with this kind of policy that Jones (2026) reports."""
