# SPDX-License-Identifier: Apache-2.0
"""A tutorial as a program: the code blocks of its page, in order, and what the page promises of each.

A comment before a fence, which the site does not show, says how the block is run:

    <!-- terminal: sim          runs beside the following blocks, until the page ends or `ends` names it
         until: the robot is up the next block begins when the terminal has printed this
         ends: sim              Ctrl-C in these terminals first
         file: swing.py         the block is this file's text, and is not run
         prints: 2 of 2 | done  words of the output
         writes: out/a.json     files that are there afterwards
         exit: 0 1              exit codes that are right; default: 0
         with: -n 50 -> -n 2    what the test runs instead -->

A block of a shell without a comment is run as it stands. One that cannot be run has a line before it that
everybody sees: `*Not run by the test: REASON.*`
"""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:<!--\s*(?P<comment>[^>]*?(?:->[^>]*?)*)\s*-->\n)?"
    r"(?:\*Not run by the test: (?P<reason>[^*]+)\*\n\n)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_KEYS = frozenset({"terminal", "until", "ends", "file", "prints", "writes", "exit", "with"})


@dataclass(frozen=True, slots=True)
class Block:
    """A code block. `not_run` is the reason why it is only shown; empty otherwise."""

    line: int  # where the page has it
    code: str
    not_run: str = ""
    terminal: str = ""
    until: str = ""
    file: str = ""
    ends: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = (0,)


def read_tutorial(page: Path) -> list[Block]:
    """The blocks of a page. Raises ValueError for a comment or a language that nobody understands."""
    text = page.read_text()
    return [
        _block(
            match, f"{page.name}, line {_line(text, match.start('code'))}", _line(text, match.start("code"))
        )
        for match in _BLOCK.finditer(text)
    ]


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _block(match: re.Match[str], place: str, line: int) -> Block:
    said = _comment(match["comment"] or "", place)
    language, code = match["language"], match["code"]
    if match["reason"]:
        return Block(line, code, not_run=match["reason"])
    if language != "bash" and "file" not in said:
        raise ValueError(f"{place}: expected bash, or a comment `file: NAME`, got {language}")
    for change in said.get("with", "").split(" | ") if "with" in said else ():
        before, _, after = change.partition(" -> ")
        if code.count(before) != 1:
            raise ValueError(f"{place}: expected {before!r} once in the block")
        code = code.replace(before, after)
    return Block(
        line,
        code,
        terminal=said.get("terminal", ""),
        until=said.get("until", ""),
        file=said.get("file", ""),
        ends=tuple(said.get("ends", "").split()),
        prints=tuple(said["prints"].split(" | ")) if "prints" in said else (),
        writes=tuple(said.get("writes", "").split()),
        exit_codes=tuple(map(int, said.get("exit", "0").split())),
    )


def _comment(text: str, place: str) -> dict[str, str]:
    """The keys of a comment. One without any key is a remark."""
    pairs = [line.strip().partition(": ") for line in text.splitlines() if line.strip()]
    said = {key: value.strip() for key, separator, value in pairs if separator}
    if unknown := set(said) - _KEYS:
        raise ValueError(f"{place}: unknown in the comment: {', '.join(sorted(unknown))}")
    return said
