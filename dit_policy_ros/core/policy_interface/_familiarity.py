# SPDX-License-Identifier: Apache-2.0
"""How far an instruction is from those that a policy was trained with."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

UNKNOWN_TASKS = ("refuse", "warn")
"""What is done with an instruction that is far from all of the training."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """How familiar an instruction is.

    Attributes:
        similarity: cosine of the angle between its text features and the nearest ones of the training; 1 for
            the same words.
        threshold: below it the instruction is unlike all of the training; None if the training had too few
            wordings to say.
        nearest: the known instructions that it is most like, the most similar first.
        meant: the known instruction that it means, in other words; None if it is not clear, or the policy
            reads the instruction as it is. ``similarity`` is then its probability.
        doubt: why it is not clear, for people; may be empty.
    """

    similarity: float
    threshold: float | None
    nearest: tuple[str, ...] = ()
    meant: str | None = None
    doubt: str = ""

    @property
    def is_familiar(self) -> bool:
        """Whether the policy may be expected to understand the instruction."""
        return self.threshold is None or self.similarity >= self.threshold

    def describe(self) -> str:
        """In words, for people."""
        limit = "" if self.threshold is None else f" (familiar from {self.threshold:.2f})"
        near = f"; most like {', '.join(map(repr, self.nearest))}" if self.nearest else ""
        if self.meant is not None:
            return f"understood as {self.meant!r} with a probability of {self.similarity:.2f}"
        if self.doubt:
            return f"{self.doubt}{near}"
        return f"similarity {self.similarity:.2f}{limit}{near}"


@runtime_checkable
class JudgesTasks(Protocol):
    """A policy that can say how familiar an instruction is."""

    def familiarity(self, task: str) -> Familiarity | None:
        """How familiar an instruction is; None if the checkpoint does not say."""
        ...


def judge_task(policy: object, task: str) -> Familiarity | None:
    """How familiar an instruction is to a policy; None if the policy cannot tell."""
    return policy.familiarity(task) if isinstance(policy, JudgesTasks) else None
