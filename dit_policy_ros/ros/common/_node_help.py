# SPDX-License-Identifier: Apache-2.0
"""The `--help` text of a node: purpose, how to run it, and its parameters."""

import sys
import textwrap
from collections.abc import Sequence

from dit_policy_ros.ros.common._parameter_table import CONTRACT_PARAMETERS, Parameter

_WIDTH = 100


def print_help_if_asked(
    executable: str, purpose: str, table: Sequence[Parameter], args: Sequence[str] | None = None
) -> bool:
    """Prints the help text and returns True if `args` (default: sys.argv) contain -h or --help."""
    if not {"-h", "--help"} & set(sys.argv[1:] if args is None else args):
        return False
    print(help_text(executable, purpose, table))
    return True


def help_text(executable: str, purpose: str, table: Sequence[Parameter]) -> str:
    """The help text of one node. purpose: a few sentences."""
    run = f"ros2 run dit_policy_ros {executable} --ros-args --params-file robot.yaml"
    blocks = [
        textwrap.fill(purpose, _WIDTH),
        f"  {run} [-p NAME:=VALUE ...]",
        "Copy config/bimanual.yaml and adapt it to your robot. Parameters of this node:",
        *(_entry(parameter) for parameter in table),
        "Parameters of the robot contract (section /** of the file; all nodes read it):",
        *(_entry(parameter) for parameter in CONTRACT_PARAMETERS),
    ]
    return "\n".join(blocks)


def _entry(parameter: Parameter) -> str:
    default = "" if parameter.default is None else f"; default {parameter.default!r}"
    text = f"{parameter.description} ({parameter.constraint}{default})"
    body = textwrap.fill(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  {parameter.name}\n{body}"
