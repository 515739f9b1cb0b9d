# SPDX-License-Identifier: Apache-2.0
"""The programs, from their parsers, and their exit codes."""

import argparse
import importlib
import re
from collections.abc import Iterator
from functools import cache
from unittest import mock

from dit_policy_ros.cli.common import CommandParser
from dit_policy_ros.cli.main import COMMANDS, NODES, PROGRAMS, usage
from tools.reference._markdown import block, code, prose, table

# Programs whose options differ with the first one: its arguments, before --help.
VARIANTS = {"train": [[], ["--recipe", "cube_tasks"]]}
_EXIT_CODE = re.compile(r"Exit codes?: (.*?)(?:\n\s*\n|\Z)", re.DOTALL)


class _Found(Exception):
    """Carries the parser of a program that was about to read its command line."""

    def __init__(self, parser: CommandParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


@cache
def parsers() -> dict[str, list[CommandParser]]:
    """The parsers of every program, by its name."""
    return {name: [parser_of(name, *given) for given in VARIANTS.get(name, [[]])] for name in PROGRAMS}


def parser_of(name: str, *arguments: str) -> CommandParser:
    """The parser that a program makes for itself."""

    def stop(parser: CommandParser, *_args: object, **_kwargs: object) -> None:
        raise _Found(parser)

    with mock.patch.object(CommandParser, "parse_args", stop), mock.patch("sys.argv", [name, *arguments]):
        try:
            importlib.import_module(COMMANDS[name].module).main()
        except _Found as found:
            return found.parser
    raise ValueError(f"{name} reads its options without CommandParser")


def commands_page() -> str:
    rows = [(f"[{name}](#{name.replace('_', '-')})", prose(COMMANDS[name].summary)) for name in PROGRAMS]
    parts = [
        "# Programs\n",
        "Each runs as `dit_policy NAME`, and in a ROS workspace as `ros2 run dit_policy_ros NAME`. "
        "`--help` says the same as this page, `--version` the version. [Exit codes](exit_codes.md) are "
        "listed together.\n",
        table(("program", "what it is for"), rows),
        "The nodes take ROS arguments: "
        + ", ".join(code(name) for name in NODES)
        + "; their [parameters](parameters.md).\n",
    ]
    for name, variants in parsers().items():
        parts += [f"## {name}\n", *(_of_parser(parser) for parser in variants)]
    return "\n".join(parts)


def exit_codes_page() -> str:
    general = _EXIT_CODE.search(usage())
    assert general is not None
    rows = [
        (code(name), prose(" ".join(said.split()).partition(". ")[0].rstrip(".")))
        for name, variants in parsers().items()
        for said in _said_of_exit(variants)
    ]
    return "\n".join(
        (
            "# Exit codes\n",
            f"Of every program and node: {prose(general[1].splitlines()[0])}\n",
            "What single programs say about theirs:\n",
            table(("program", "exit code"), rows),
        )
    )


def _said_of_exit(variants: list[CommandParser]) -> Iterator[str]:
    for parser in variants:
        for text in (parser.description, parser.epilog):
            yield from _EXIT_CODE.findall(text or "")


def _of_parser(parser: CommandParser) -> str:
    positional = [a for a in parser._actions if not a.option_strings]
    options = [a for a in parser._actions if a.option_strings and not isinstance(a, _ANSWERS)]
    parts = [block(parser.format_usage())]
    if parser.description:
        parts.append(prose(parser.description) + "\n")
    if positional or options:
        parts.append(table(("option", "meaning"), (_row(a, parser) for a in (*positional, *options))))
    if parser.epilog:
        parts.append(block(parser.epilog))
    return "\n".join(parts)


_ANSWERS = (argparse._HelpAction, argparse._VersionAction)


def _row(action: argparse.Action, parser: CommandParser) -> tuple[str, str]:
    formatter = parser._get_formatter()
    shown = formatter._format_action_invocation(action)
    meaning = formatter._expand_help(action) if action.help else ""
    return code(shown), prose(" ".join(meaning.split()))
