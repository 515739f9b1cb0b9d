# SPDX-License-Identifier: Apache-2.0
"""Episode numbers on the command line."""

from dit_policy_ros.core.errors import DatasetError


def parse_episode_numbers(text: str) -> list[int]:
    """The numbers in a text such as "0-5,12". Raises DatasetError."""
    try:
        found: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise DatasetError(f"episodes: expected numbers and ranges like 0-5,12, got '{text}'") from error
    return found
