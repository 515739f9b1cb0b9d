# SPDX-License-Identifier: Apache-2.0
"""Reads one level of a nested mapping strictly: reports wrong types, NaN, bounds and unknown keys.

A reader never raises. It adds the mistake to a `Problems` list and returns a placeholder, so one pass finds
all mistakes. The caller raises at the end, before any placeholder is used.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dit_policy_ros.core.problems import Problems, show

MAX_LATENCY = 1.0  # [s] of a camera or a controller
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_JOINT = re.compile(r"[^.\s]+")  # a dot would start a nested group of parameters
IDENTIFIER_EXPECTED = "different names of letters, digits and '_' that begin with a letter"
JOINT_EXPECTED = "different joint names without spaces and dots"
_RESERVED = "names"  # is a key of its own in the groups of cameras and controllers
# Where a value is that only a person knows, `dit_policy contract` writes this and what is wanted.
FILL_IN = "FILL_IN"
_TOPIC = re.compile(r"(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


def is_identifier(text: str) -> bool:
    """Whether a text can name a camera or a controller."""
    return _IDENTIFIER.fullmatch(text) is not None and text != _RESERVED


def is_joint(text: str) -> bool:
    """Whether a text can name a joint."""
    return _JOINT.fullmatch(text) is not None


def is_topic(text: str) -> bool:
    """Whether a text is a ROS topic name: absolute, relative or private."""
    return _TOPIC.fullmatch(text) is not None


class MappingReader:
    """Reads the keys of one mapping; each method reads one key and reports what is wrong with its value."""

    def __init__(self, mapping: Mapping[str, Any], path: str, problems: Problems) -> None:
        self._mapping = mapping
        self._path = path
        self._problems = problems
        self._known: set[str] = set()

    def key(self, name: str) -> str:
        """The full dotted key of one of this mapping's names."""
        return f"{self._path}.{name}" if self._path else name

    def has(self, name: str) -> bool:
        """Whether the key is present."""
        return name in self._mapping

    def number(
        self, name: str, expected: str, accept: Callable[[float], bool], default: float | None = None
    ) -> float:
        """A finite number for which `accept` is true; NaN on a mistake.

        Integers are numbers, booleans are not. With a default the key is optional.
        """
        if default is not None and not self.has(name):
            self._known.add(name)
            return default
        present, value = self._required(name, expected)
        if not present:
            return math.nan
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value) and accept(value)):
            self._problems.add(self.key(name), expected, show(value))
            return math.nan
        return float(value)

    def numbers(self, name: str, expected: str, count: int) -> tuple[float, ...]:
        """A list of ``count`` finite numbers; empty on a mistake."""
        present, value = self._required(name, expected)
        if not present:
            return ()
        given = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
        is_number = [isinstance(each, int | float) and not isinstance(each, bool) for each in given]
        if len(given) != count or not all(is_number) or not all(map(math.isfinite, given)):
            self._problems.add(self.key(name), expected, show(value))
            return ()
        return tuple(map(float, given))

    def integer(self, name: str, low: int, high: int, unit: str) -> int:
        """A whole number from `low` to `high`; -1 on a mistake."""
        expected = f"a whole number from {low} to {high} [{unit}]"
        present, value = self._required(name, expected)
        if not present:
            return -1
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._problems.add(self.key(name), expected, show(value))
            return -1
        return value

    def text(self, name: str, expected: str, accept: Callable[[str], bool]) -> str:
        """A string for which `accept` is true; empty on a mistake."""
        present, value = self._required(name, expected)
        if not present:
            return ""
        if not (isinstance(value, str) and accept(value)):
            self._problems.add(self.key(name), expected, show(value))
            return ""
        return value

    def optional_text(self, name: str, expected: str) -> str:
        """A string; empty if the key is absent."""
        if self.has(name):
            return self.text(name, expected, lambda text: True)
        self._known.add(name)
        return ""

    def boolean(self, name: str, default: bool) -> bool:
        """true or false; the default if the key is absent or on a mistake."""
        self._known.add(name)
        value = self._mapping.get(name, default)
        if not isinstance(value, bool):
            self._problems.add(self.key(name), "true or false", show(value))
            return default
        return value

    def names(
        self, name: str, expected: str, accept: Callable[[str], bool], may_be_empty: bool = False
    ) -> tuple[str, ...]:
        """A list of different names, at least one unless it may be empty; on a mistake the valid ones."""
        present, value = self._required(name, expected)
        if not present:
            return ()
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if not is_list or not (value or may_be_empty):
            self._problems.add(self.key(name), expected, show(value))
            return ()
        valid: list[str] = []
        for index, entry in enumerate(value):
            key = f"{self.key(name)}[{index}]"
            if not isinstance(entry, str) or not accept(entry):
                self._problems.add(key, expected, show(entry))
            elif entry in valid:
                self._problems.add(key, "each name once", f"'{entry}' again")
            else:
                valid.append(entry)
        return tuple(valid)

    def texts(self, name: str, expected: str) -> tuple[str, ...]:
        """A list of strings; empty if the key is absent."""
        self._known.add(name)
        value = self._mapping.get(name, ())
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._problems.add(self.key(name), expected, show(value))
            return ()
        wrong = [entry for entry in value if not isinstance(entry, str)]
        for entry in wrong:
            self._problems.add(self.key(name), expected, show(entry))
        return () if wrong else tuple(value)

    def group(self, name: str, expected: str) -> "MappingReader | None":
        """A reader of a nested mapping; None on a mistake."""
        present, value = self._required(name, expected)
        if not present:
            return None
        if not isinstance(value, Mapping):
            self._problems.add(self.key(name), expected, show(value))
            return None
        return MappingReader(value, self.key(name), self._problems)

    def optional_group(self, name: str, expected: str) -> "MappingReader | None":
        """A reader of a nested mapping; None if the key is absent, or on a mistake."""
        if self.has(name):
            return self.group(name, expected)
        self._known.add(name)
        return None

    def skip(self, names: Sequence[str]) -> None:
        """Do not report these keys as unknown: what is wrong with them is said elsewhere."""
        self._known.update(names)

    def report_unknown_keys(self) -> None:
        """Reports every key that no method has read; call it last."""
        for name in self._mapping:
            if name not in self._known:
                self._problems.add_unknown(self.key(str(name)), str(name), self._known)

    def _required(self, name: str, expected: str) -> tuple[bool, Any]:
        """Whether a required key is present, and its value."""
        self._known.add(name)
        if name not in self._mapping:
            self._problems.add(self.key(name), expected, "nothing (the key is missing)")
            return False, None
        value = self._mapping[name]
        entries = value if isinstance(value, list) else [value]
        if places := [each for each in entries if isinstance(each, str) and each.startswith(FILL_IN)]:
            what = places[0].removeprefix(FILL_IN).strip(": ")
            self._problems.add(self.key(name), expected, "a place that is not filled in", f" {what}".rstrip())
            return False, None
        return True, value


def read_latency(reader: MappingReader, low: float, name: str = "latency") -> float:
    """A latency from ``low`` on [s]; 0 without one."""
    expected = f"a number from {low:g} to {MAX_LATENCY:g} [s]"
    return reader.number(name, expected, lambda value: low <= value <= MAX_LATENCY, default=0.0)
