# SPDX-License-Identifier: Apache-2.0
"""Reads entries such as "left_gripper = grip * 0.04 - 0.001": a name, another name, a scale and an offset."""

import re
from dataclasses import dataclass

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_SCALED = rf"([^=*+\s]+)\s*(?:\*\s*({_NUMBER})\s*)?(?:([+-])\s*({_NUMBER})\s*)?"
_VALUE = re.compile(rf"\s*{_SCALED}")
_ENTRY = re.compile(rf"\s*([^=*\s]+)\s*=\s*{_SCALED}")


@dataclass(frozen=True, slots=True)
class LinearEntry:
    """``target = source * scale + offset``. scale: None if the entry does not say one."""

    target: str
    source: str
    scale: float | None
    offset: float

    @property
    def factor(self) -> float:
        """The scale, 1 if none is said."""
        return 1.0 if self.scale is None else self.scale


def read_entry(text: str) -> LinearEntry | None:
    """Reads "TARGET = SOURCE * SCALE + OFFSET", of which scale and offset are optional; None if it is not."""
    match = _ENTRY.fullmatch(text)
    return None if match is None else _entry(match[1], match[2], match[3], match[4], match[5])


def read_value(text: str) -> LinearEntry | None:
    """Reads "SOURCE * SCALE + OFFSET", as `read_entry` without a target, which is empty."""
    match = _VALUE.fullmatch(text)
    return None if match is None else _entry("", match[1], match[2], match[3], match[4])


def _entry(target: str, source: str, scale: str | None, sign: str | None, offset: str | None) -> LinearEntry:
    shift = float(offset or 0.0) * (-1.0 if sign == "-" else 1.0)
    return LinearEntry(target, source, None if scale is None else float(scale), shift)
