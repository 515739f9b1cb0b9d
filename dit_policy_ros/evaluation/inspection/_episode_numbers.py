# SPDX-License-Identifier: Apache-2.0
"""Episode numbers on the command line."""

import re

from dit_policy_ros.core.errors import DatasetError

_HIGHEST = 9_999_999  # a typing mistake must not become a list that fills the memory
_PART = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", re.ASCII)


def parse_episode_numbers(text: str) -> list[int]:
    """The numbers in a text such as "0-5,12". Raises DatasetError."""
    found: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first or last > _HIGHEST:
            raise DatasetError(
                f"episodes: expected numbers and ranges like 0-5,12, up to {_HIGHEST}, got {text[:80]!r}"
            )
        found += range(first, last + 1)
    return found
