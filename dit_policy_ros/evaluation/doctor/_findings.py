# SPDX-License-Identifier: Apache-2.0
"""What a check has found."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"  # checked, and good
    NOTE = "note"  # good to know; nothing to do
    WARNING = "warning"  # works, but worse than it could
    PROBLEM = "problem"  # must be mended before a policy or a recording works


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was checked, for example "camera top".
        level: how bad it is.
        text: what was found.
        remedy: what to do; empty if nothing, or if the text says it.
    """

    check: str
    level: Level
    text: str
    remedy: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether there is something to do."""
        return self.level in (Level.WARNING, Level.PROBLEM)


def ok(check: str, text: str) -> Finding:
    """A finding that is good."""
    return Finding(check, Level.OK, text)


def note(check: str, text: str) -> Finding:
    """A finding that is good to know."""
    return Finding(check, Level.NOTE, text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """A finding that makes things worse."""
    return Finding(check, Level.WARNING, text, remedy)


def problem(check: str, text: str, remedy: str) -> Finding:
    """A finding that must be mended."""
    return Finding(check, Level.PROBLEM, text, remedy)
