# SPDX-License-Identifier: Apache-2.0
"""Collects all mistakes in a configuration, so that one error message lists them all."""

import difflib
from collections.abc import Iterable

from dit_policy_ros.core.errors import DitPolicyError

_SHOWN_CHARACTERS = 80


def show(value: object) -> str:
    """A value for an error message: its repr, shortened to one line, with its type where that helps."""
    text = repr(value)
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 3] + "..."
    return f"{text} ({type(value).__name__})" if isinstance(value, bool | str | int | list | dict) else text


def listing(names: Iterable[str]) -> str:
    """The names, separated by commas; "(none)" if there are none."""
    return ", ".join(names) or "(none)"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """ " Did you mean 'NAME'?" with the most similar valid name; empty if none is similar."""
    near = difflib.get_close_matches(name, list(valid), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


class Problems:
    """The mistakes found in one source of configuration (a file, a node's parameters)."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, key: str, expected: str, got: str, hint: str = "") -> None:
        """Adds a mistake: the full key, the expected value, the actual value, and a remedy."""
        self._lines.append(f"{key}: expected {expected}, got {got}.{hint}")

    def add_unknown(self, key: str, name: str, valid: Iterable[str]) -> None:
        """Adds an unknown name, with the valid ones and the most similar of them."""
        valid = sorted(valid)
        self.add(key, f"one of: {listing(valid)}", f"the unknown name '{name}'", did_you_mean(name, valid))

    def add_line(self, line: str) -> None:
        """Adds a mistake that is already a whole sentence."""
        self._lines.append(line)

    def raise_if_any(self, error: type[DitPolicyError], headline: str) -> None:
        """Raises `error` with the headline, the source and all mistakes, if there are any."""
        if not self._lines:
            return
        count = f"{len(self._lines)} problem{'s' if len(self._lines) > 1 else ''}"
        where = f" in {self.source}" if self.source else ""
        lines = "".join(f"\n  - {line}" for line in self._lines)
        raise error(f"{headline} ({count}{where}):{lines}")
