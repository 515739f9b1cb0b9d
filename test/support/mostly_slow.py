# SPDX-License-Identifier: Apache-2.0
"""Parameters of a test of which `make test` tries a few, and `make test-all` every one."""

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_slow(values: Iterable[Any], quick: int) -> list[Any]:
    """The values for ``parametrize``; as many as ``quick``, spread over all of them, are not marked slow."""
    every = list(values)
    chosen = {number * len(every) // quick for number in range(quick)}
    return [
        each if number in chosen else pytest.param(*_arguments(each), marks=pytest.mark.slow)
        for number, each in enumerate(every)
    ]


def _arguments(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
