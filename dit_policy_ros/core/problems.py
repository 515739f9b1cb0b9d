# SPDX-License-Identifier: Apache-2.0
"""Collects every mistake in a piece of configuration, so that the user sees all of them at once."""

import difflib
from collections.abc import Iterable

from dit_policy_ros.core.errors import DitPolicyError

_SHOWN_CHARACTERS = 80


def show(value: object) -> str:
    """A value as an error message shows it: its repr, cut to a line, with its type when that may surprise."""
    text = repr(value)
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 3] + "..."
    return f"{text} ({type(value).__name__})" if isinstance(value, bool | str | int | list | dict) else text


def listing(names: Iterable[str]) -> str:
    """Names in the order given, joined for a message; says so when there are none."""
    return ", ".join(names) or "(none)"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """The nearest valid name as a question with a leading space, or nothing."""
    near = difflib.get_close_matches(name, list(valid), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


class Problems:
    """A list of mistakes found in one source of configuration (a file, a node's parameters)."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, key: str, expected: str, got: str, hint: str = "") -> None:
        """One mistake: the full key, what should stand there, what stands there, and a remedy."""
        self._lines.append(f"{key}: expected {expected}, got {got}.{hint}")

    def add_unknown(self, key: str, name: str, valid: Iterable[str]) -> None:
        """A name that does not exist, with the valid ones and the nearest of them."""
        valid = sorted(valid)
        self.add(key, f"one of: {listing(valid)}", f"the unknown name '{name}'", did_you_mean(name, valid))

    def add_line(self, line: str) -> None:
        """A mistake that is already a sentence."""
        self._lines.append(line)

    def raise_if_any(self, error: type[DitPolicyError], headline: str) -> None:
        """Raises `error` with the headline, the source and every mistake, if there are mistakes."""
        if not self._lines:
            return
        count = f"{len(self._lines)} problem{'s' if len(self._lines) > 1 else ''}"
        where = f" in {self.source}" if self.source else ""
        lines = "".join(f"\n  - {line}" for line in self._lines)
        raise error(f"{headline} ({count}{where}):{lines}")
