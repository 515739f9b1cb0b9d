# SPDX-License-Identifier: Apache-2.0
"""The data of the diagnostics: predictions, figures, findings, thresholds and advice.

Shapes: N observations, K instructions, T steps of a chunk, A action entries, D state entries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Finding(StrEnum):
    """What is wrong with one task. FAILURES are failures; the others help to explain them."""

    COLLAPSED = "collapsed"
    IDLE = "idle"
    WRONG_TASK = "wrong task"
    LANGUAGE_BLIND = "language-blind"
    SCATTERED = "scattered"
    FEW_DEMONSTRATIONS = "few demonstrations"
    UNDERREPRESENTED = "underrepresented"


FAILURES = (Finding.COLLAPSED, Finding.IDLE, Finding.WRONG_TASK, Finding.LANGUAGE_BLIND)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a figure becomes a finding."""

    variance_ratio: float = 0.25  # collapsed below: the outputs' standard deviation is half of the data's
    scattered: float = 4.0  # scattered above: the outputs' standard deviation is twice the data's
    motion: float = 0.1  # the demonstrator moves if it goes at least this far
    still: float = 0.25  # a prediction idles if it goes less than this share of the demonstrated distance
    idle: float = 0.3  # idle above: share of the observations where the demonstrator moves
    margin: float = 0.05  # another instruction is nearer if by more than this share of the distance
    off: float = 0.25  # ... and the right one's prediction is off by this share of what separates the tasks
    misled: float = 0.5  # wrong task above: share of what guessing among K instructions gives, (K - 1) / K
    language: float = 0.1  # language-blind below
    few: int = 50  # demonstrations; Jones (2026) saw collapse with 20 to 50 ...
    enough: int = 300  # ... and hardly any above 300
    underrepresented: float = 1 / 3  # of the frames of the most frequent task


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a policy predicts at observations, and what was demonstrated there."""

    tasks: tuple[str, ...]  # K instructions: those of the dataset, then others that the policy knows
    demonstrated_task: NDArray[np.int64]  # (N,) index of the instruction that was demonstrated
    predicted: Floats  # (N, K, T, A) [rad or m], under every instruction, from the same noise
    demonstrated: Floats  # (N, T, A) [rad or m]
    valid: NDArray[np.bool_]  # (N, T) false after the end of an episode
    state: Floats  # (N, D) [rad or m], the newest
    scale: Floats  # (A,) unit of each action entry, from ``spread_units``; 0 for an entry that never moves
    action_names: tuple[str, ...]  # A names
    demonstrations: Mapping[str, int]  # number by task of the dataset
    frames: Mapping[str, int]  # of these demonstrations, number by task of the dataset


@dataclass(frozen=True, slots=True)
class TaskDiagnosis:
    """The figures and findings of one task; NaN for a figure that does not exist."""

    task: str
    observations: int
    demonstrations: int
    frames: int
    error: float  # distance of the prediction under the right instruction to the demonstration
    worst_entry: str  # the action entry that makes up most of the error
    worst_share: float  # its share of the squared error
    variance_ratio: float  # variance over observations, predicted / demonstrated
    motion_ratio: float  # distance moved within a chunk, predicted / demonstrated
    idle_fraction: float  # of the observations where the demonstrator moves
    misled_fraction: float  # of observations: another instruction's prediction is nearer to the demonstration
    mistaken_for: str | None  # the other instruction that is nearest most often
    language_ratio: float  # how much instructions change the prediction / how much tasks differ in the data
    nearest: Mapping[str, float] = field(default_factory=dict)  # share of observations by nearest instruction
    findings: tuple[Finding, ...] = ()

    @property
    def is_failing(self) -> bool:
        """Whether the policy fails at this task, as opposed to being at risk."""
        return any(finding in FAILURES for finding in self.findings)


ADVICE: Mapping[Finding, str] = {
    Finding.COLLAPSED: "the outputs hardly depend on the observation. Record more demonstrations (double "
    "them until there are over 300), train longer (a flat loss is not the end; 50,000 to 100,000 steps "
    "are usual), and look for something that decides what to do but that neither cameras nor joints show",
    Finding.IDLE: "the policy stands still where the demonstrator moves. Do the same as for a collapse, and "
    "cut pauses out of the demonstrations (dit_policy train --drop-idle)",
    Finding.WRONG_TASK: "make the instructions more different, sample this task more often in training, or "
    "fine-tune on it alone for a few thousand steps",
    Finding.LANGUAGE_BLIND: "the instruction hardly changes the prediction. Make the instructions more "
    "different, record the tasks from the same starting poses and scenes, so that only the instruction "
    "distinguishes them, train with instruction dropout, and raise guidance_scale",
    Finding.SCATTERED: "the outputs differ more between observations than the demonstrations do. Train "
    "longer, use more sampling steps, and check that robot and units are those of the training data",
    Finding.FEW_DEMONSTRATIONS: "if the policy was trained on these alone, collapse is likely; with over 300 "
    "it is rare",
    Finding.UNDERREPRESENTED: "other tasks have many more frames; record more of this one, or sample it more "
    "often",
}
"""What to do about each finding, from the experience with such policies that Jones (2026) reports."""
