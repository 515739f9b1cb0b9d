# SPDX-License-Identifier: Apache-2.0
"""The command line of every program: help that fits the terminal, near names for mistyped ones, --version."""

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from dit_policy_ros.cli.common._completion import complete
from dit_policy_ros.core.problems import did_you_mean
from dit_policy_ros.core.share import package_version

USAGE_ERROR = 2  # exit code for a command line that cannot be used
_WIDEST = 100  # columns; longer lines are hard to read
_NARROWEST = 40
_COLUMNS = re.compile(r"^(\s+)(\S.*?)(\s{2,})(\S.*)$")  # a name, a gap, and what it is
_CHOICE = re.compile(r"invalid choice: '?(.*?)'? \(choose from (.*)\)")
_COMMANDS = ("dit_policy ", "ros2 ", "accelerate ", "$ ", "pip ")


class CommandParser(argparse.ArgumentParser):
    """Parses the options of one program.

    Args:
        name: of the program, as in `dit_policy NAME`.
        description: what it does; paragraphs are wrapped to the terminal.
        epilog: examples and tables, which keep their indentation.
    """

    def __init__(self, name: str, description: str | None, epilog: str = "") -> None:
        width = help_width()
        super().__init__(
            prog=f"dit_policy {name}",
            description=reflow(description or "", width),
            epilog=reflow(epilog, width),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._given: list[str] = []
        self.add_argument("--version", action="version", version=f"dit_policy_ros {package_version()}")

    def parse_args(  # pyright: ignore[reportIncompatibleMethodOverride]  # argparse has overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse; answers the shell instead if it asks what may come next."""
        complete(self)
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_args(args, namespace)

    def format_usage(self) -> str:
        """As argparse, within the width of the help: argparse itself does not break a group."""
        return "".join(f"{line}\n" for line in _short_lines(super().format_usage(), help_width()))

    def format_help(self) -> str:
        """As argparse, with ``format_usage``."""
        return super().format_help().replace(super().format_usage(), self.format_usage(), 1)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the options, with the nearest valid name, and exit with code 2."""
        self.print_usage(sys.stderr)
        self.exit(USAGE_ERROR, f"{self.prog}: {message}{self._hint(message)}\n")

    def _hint(self, message: str) -> str:
        if message.startswith("unrecognized arguments:"):
            return self._near(word for word in message.split()[2:] if word.startswith("-"))
        if message.startswith("the following arguments are required:"):
            known = [option for action in self._actions for option in action.option_strings]
            options = (
                word.partition("=")[0] for word in self._given if word.startswith("--") and word != "--"
            )
            unknown = [each for each in options if not any(option.startswith(each) for option in known)]
            return f"; unrecognized: {' '.join(unknown)}.{self._near(unknown)}" if unknown else ""
        if found := _CHOICE.search(message):
            return did_you_mean(found[1], [choice.strip("'") for choice in found[2].split(", ")])
        return ""

    def _near(self, options: Iterable[str]) -> str:
        """For each mistyped option the nearest one."""
        known = set(re.findall(r"--[a-z][a-z0-9-]*", self.format_help()))
        return "".join(dict.fromkeys(did_you_mean(each.partition("=")[0], known) for each in options))


def _short_lines(usage: str, width: int) -> Iterator[str]:
    """The lines of a usage; one that is too long is broken between the choices of a group."""
    for line in usage.splitlines():
        after = " " * (_indent(line) + 1)
        while len(line) > width and (end := line.rfind(" | ", len(after), width)) > 0:
            yield line[:end] + " |"
            line = after + line[end + 3 :]
        yield line


def help_width() -> int:
    """Columns for a program's help: the terminal's, or 80 without one."""
    return max(_NARROWEST, min(shutil.get_terminal_size((80, 24)).columns, _WIDEST) - 2)


def reflow(text: str, width: int) -> str:
    """Wrap a help text to ``width`` columns: paragraphs, two-column lines, and commands with a backslash."""
    return "\n".join(_reflowed(text.splitlines(), width))


def _reflowed(lines: list[str], width: int) -> Iterator[str]:
    n = 0
    while n < len(lines):
        line = lines[n].rstrip()
        n += 1
        if not line:
            yield ""
        elif not line.startswith(" "):
            paragraph = [line]
            while n < len(lines) and lines[n].strip() and not lines[n].startswith(" "):
                paragraph.append(lines[n].strip())
                n += 1
            yield from textwrap.wrap(" ".join(paragraph), width, break_on_hyphens=False)
        else:
            indent = _indent(line)
            while n < len(lines) and lines[n].strip() and _continues(line, lines[n], indent):
                line = f"{line.removesuffix(chr(92)).rstrip()} {lines[n].strip()}"
                n += 1
            yield from _indented(line, indent, width)


def _continues(line: str, following: str, indent: int) -> bool:
    """Whether a line goes on in the following one: after a backslash, or under its second column."""
    if line.endswith("\\"):
        return True
    columns = _COLUMNS.match(line)
    return columns is not None and _indent(following) == columns.start(4) > indent


def _indented(line: str, indent: int, width: int) -> Iterator[str]:
    if len(line) <= width:
        yield line
        return
    columns = _COLUMNS.match(line)
    if columns is not None and columns.start(4) <= width // 2:
        after = " " * columns.start(4)
        yield from _wrap(columns[4], width, line[: columns.start(4)], after)
    elif columns is not None:
        yield from _indented(line[: columns.end(2)], indent, width)
        after = " " * (indent + 6)
        yield from _wrap(columns[4], width, after, after)
    elif line.strip().startswith(_COMMANDS):
        wrapped = list(_wrap(line.strip(), width - 2, " " * indent, " " * (indent + 4)))
        yield from [f"{each} \\" for each in wrapped[:-1]]
        yield wrapped[-1]
    else:
        yield from _wrap(line.strip(), width, " " * indent, " " * (indent + 2))


def _wrap(text: str, width: int, first: str, after: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=after,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
