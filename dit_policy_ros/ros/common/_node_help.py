# SPDX-License-Identifier: Apache-2.0
"""What a node's executable answers before it starts: its `--help` text, and mistakes in its arguments."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.problems import did_you_mean
from dit_policy_ros.core.share import package_version
from dit_policy_ros.ros.common._command_line import USAGE_ERROR, command_line
from dit_policy_ros.ros.common._parameter_table import CONTRACT_PARAMETERS, Parameter

_WIDEST, _NARROWEST = 100, 40  # columns; longer lines are hard to read


def answer_arguments(
    executable: str, purpose: str, table: Sequence[Parameter], args: Sequence[str] | None = None
) -> int | None:
    """Answers -h, --help and --version, and refuses arguments that are no ROS arguments.

    Args:
        executable: name of the program.
        purpose: a few sentences about it.
        table: its parameters.
        args: its command line; default: sys.argv.

    Returns:
        The exit code, or None if the node is to run.
    """
    given = sys.argv[1:] if args is None else args
    if {"-h", "--help"} & set(given):
        print(help_text(executable, purpose, table))
        return 0
    if "--version" in given:
        print(f"dit_policy_ros {package_version()}")
        return 0
    try:
        plain = command_line(given).plain
    except ParameterError as error:
        print(f"{executable}: {error}", file=sys.stderr)
        return USAGE_ERROR
    if not plain:
        return None
    advice = " ".join(("--ros-args", *_as_ros_arguments(plain, table)))
    print(
        f"{executable}: it takes ROS arguments only, got: {' '.join(plain)}\n"
        f"Parameters are given as {advice}. --help lists them",
        file=sys.stderr,
    )
    return USAGE_ERROR


def help_text(executable: str, purpose: str, table: Sequence[Parameter]) -> str:
    """The help text of one node, as wide as the terminal, or 80 columns. purpose: a few sentences."""
    width = max(_NARROWEST, min(shutil.get_terminal_size((80, 24)).columns, _WIDEST) - 2)
    blocks = [
        textwrap.fill(purpose, width),
        f"  ros2 run dit_policy_ros {executable} --ros-args \\\n"
        "      --params-file robot.yaml [-p NAME:=VALUE ...]",
        textwrap.fill(
            "Copy config/bimanual.yaml and adapt it to your robot. A value given with -p counts more than "
            "the file, and a later file more than an earlier one. Parameters of this node:",
            width,
        ),
        *(_entry(parameter, width) for parameter in table),
        "Parameters of the robot contract (section /** of the file; all nodes read it):",
        *(_entry(parameter, width) for parameter in CONTRACT_PARAMETERS),
    ]
    return "\n".join(blocks)


def _entry(parameter: Parameter, width: int) -> str:
    default = "" if parameter.default is None else f"; default {_as_yaml(parameter.default)}"
    text = f"{parameter.description} ({parameter.constraint}{default})"
    body = textwrap.fill(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  {parameter.name}\n{body}"


def _as_yaml(value: Any) -> str:
    """A default as the user would write it in the file."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return value or '""' if isinstance(value, str) else f"{value}"


def _as_ros_arguments(plain: Sequence[str], table: Sequence[Parameter]) -> Iterator[str]:
    """What the user may have meant: --seed 3, --seed=3 and seed:=3 become -p seed:=3."""
    names = {parameter.name for parameter in table}
    rest = list(plain)
    while rest:
        word = rest.pop(0)
        found = re.fullmatch(r"-{0,2}([A-Za-z_][\w.-]*?)(?::?=(.*))?", word)
        name = "NAME" if found is None else found[1].replace("-", "_")
        value = None if found is None else found[2]
        if value is None and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        if name not in names:
            near = did_you_mean(name, names)
            name = near.split("'")[1] if near else "NAME"
        yield f"-p {name}:={'VALUE' if value is None else value}"
