# SPDX-License-Identifier: Apache-2.0
"""The contract as a parameter file, with a comment on each value that was measured or is missing."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from dit_policy_ros.evaluation.new_contract._draft import Entry

_INDENT = "  "


def contract_text(contract: Mapping[str, Any], notes: Iterable[str]) -> str:
    """The text of a parameter file.

    Args:
        contract: from ``draft_contract``.
        notes: what could not be found, for the head of the file.
    """
    head = [
        "The contract of a robot, as dit_policy contract has found it. Values that begin with FILL_IN are",
        "known to a person only: every program refuses this file until they are replaced.",
        "config/bimanual.yaml explains each value and lists those that are optional.",
        *(f"note: {_one_line(note)}" for note in notes),
    ]
    lines = [*(f"# {line}" for line in head), "/**:", f"{_INDENT}ros__parameters:"]
    return "\n".join([*lines, *_lines(contract, 2)]) + "\n"


def _lines(values: Mapping[str, Any], depth: int) -> Iterator[str]:
    space = _INDENT * depth
    for name, value in values.items():
        key = f"{space}{_scalar(name)}:"
        if isinstance(value, Entry):
            comment = f"  # {_one_line(value.comment)}" if value.comment else ""
            yield f"{key} {_scalar(value.value)}{comment}"
        elif isinstance(value, Mapping):
            yield key
            yield from _lines(value, depth + 1)
        elif len(value) <= 3:
            yield f"{key} [{', '.join(map(_scalar, value))}]"
        else:
            yield key
            yield from (f"{space}{_INDENT}- {_scalar(each)}" for each in value)


def _scalar(value: Any) -> str:
    """A value in YAML's notation, on one line."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None  # with escapes
    text = yaml.safe_dump(
        value, default_flow_style=True, default_style=style, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _one_line(text: str) -> str:
    """A text for a comment: what a robot or an error says may have several lines."""
    return " ".join(text.split())
