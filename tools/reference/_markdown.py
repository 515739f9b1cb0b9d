# SPDX-License-Identifier: Apache-2.0
"""Pieces of Markdown."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def escape(text: str) -> str:
    """A plain text so that Markdown shows it as it is."""
    return _SPECIAL.sub(r"\\\1", text)


def prose(text: str) -> str:
    """Text of a docstring or a comment: what stands between backticks stays code, all else is shown as it is.

    reStructuredText's double backticks become single ones.
    """
    parts = re.split(r"(``[^`]+``|`[^`\n]+`)", text)
    return "".join(f"`{part.strip('`')}`" if part.startswith("`") else escape(part) for part in parts)


def code(text: str) -> str:
    """A span of code for use in a table, too."""
    return f"`{text.replace('|', chr(92) + '|')}`" if text else ""


def block(text: str, language: str = "text") -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are Markdown already."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace(chr(10), ' ') for cell in line)} |\n" for line in lines)


def target(name: str) -> str:
    """A place that other pages can link to."""
    return f"({name})=\n"
