# SPDX-License-Identifier: Apache-2.0
"""Completion in the shell: `eval "$(register-python-argcomplete dit_policy)"` switches it on."""

import argparse
import os
from collections.abc import Callable, Iterable
from typing import Any

_START = "_ARGCOMPLETE"  # set by the shell: the word at which a program's own arguments begin, plus one


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end the process, if the shell asks. Without argcomplete there is no answer."""
    if _START not in os.environ:
        return
    try:
        import argcomplete
    except ModuleNotFoundError:
        raise SystemExit(1) from None
    argcomplete.autocomplete(parser)


def command_before(commands: Iterable[str]) -> str:
    """The command in the line that is being completed, "" without one. Its own arguments are next then."""
    line = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT") or 0)]
    words = line.split()
    is_whole = len(words) > 2 or (len(words) == 2 and line.endswith(" "))
    if not is_whole or words[1] not in commands:
        return ""
    os.environ[_START] = str(int(os.environ[_START]) + 1)
    return words[1]


def set_completer(action: argparse.Action, values: Callable[[], Iterable[str]]) -> None:
    """Let an option's value be completed with ``values``, which is called only then."""

    def completer(**_: Any) -> list[str]:
        return list(values())

    action.completer = completer  # type: ignore[attr-defined]  # argcomplete's way
