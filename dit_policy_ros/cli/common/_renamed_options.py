# SPDX-License-Identifier: Apache-2.0
"""Refuses console options under their old names, and says what to write instead."""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import Any


def refuse_renamed_options(parser: argparse.ArgumentParser, renamed: Mapping[str, str]) -> None:
    """Make a parser refuse old option names, with exit code 2; ``--help`` does not list them.

    Args:
        parser: which knows the new options already.
        renamed: what to write instead, by old name: {"--tasks": "--task TEXT, once for each task"}.
    """
    for old, new in renamed.items():
        parser.add_argument(
            old,
            nargs="*",  # with or without values
            action=_RefuseRenamed,
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
            replacement=new,
        )


def refuse_positionals(parser: argparse.ArgumentParser, options: Sequence[str]) -> None:
    """Make a parser refuse positional arguments that have become options.

    Args:
        parser: which has no positional argument.
        options: the new options in the order of the old arguments: ("--checkpoint", "--dataset").
    """
    parser.add_argument(
        "refused_positionals",
        nargs="*",
        action=_RefusePositionals,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
        options=options,
    )


class _RefuseRenamed(argparse.Action):
    def __init__(self, *, replacement: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.replacement = replacement

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        parser.error(f"{option_string} was renamed; use {self.replacement}")


class _RefusePositionals(argparse.Action):
    def __init__(self, *, options: Sequence[str], **settings: Any) -> None:
        super().__init__(**settings)
        self.options = options

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        if not values:  # argparse calls this without arguments, too
            return
        last = len(self.options) - 1
        pairs = [(self.options[min(i, last)], value) for i, value in enumerate(values)]
        parser.error(
            f"unexpected arguments: {shlex.join(values)}; these are options now, use "
            + " ".join(f"{option} {shlex.quote(value)}" for option, value in pairs)
        )
