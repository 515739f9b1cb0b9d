# SPDX-License-Identifier: Apache-2.0
"""What a node's command line says: plain arguments, parameters, and the node's full name."""

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dit_policy_ros.core.errors import ParameterError

USAGE_ERROR = 2  # exit code for arguments that cannot be used
_BEGIN, _END = "--ros-args", "--"
_FILE_FLAGS = ("--params-file",)
_VALUE_FLAGS = ("-p", "--param")
_REMAP_FLAGS = ("-r", "--remap")
_WITH_VALUE = {
    *(*_FILE_FLAGS, *_VALUE_FLAGS, *_REMAP_FLAGS),
    *("-e", "--enclave", "--log-level", "--log-config-file", "--log-file-name"),
}
_REMAPPED_NAME = re.compile(r"(?:(?P<node>[^:/]+):)?__(?P<what>node|name|ns):=(?P<new>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Override:
    """One value given with -p. node: name of the node it is for; empty: whatever the node is called."""

    node: str
    name: str
    text: str

    @property
    def given(self) -> str:
        """As the user wrote it."""
        return f"-p {self.node + ':' if self.node else ''}{self.name}:={self.text}"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The arguments of a node's process, without the program's name.

    plain: those that are no ROS arguments.
    files: parameter files, in order. overrides: values given with -p, in order.
    others: all other ROS arguments with ``--ros-args`` before them; empty if there are none.
    """

    plain: tuple[str, ...]
    files: tuple[str, ...]
    overrides: tuple[Override, ...]
    others: tuple[str, ...]

    @property
    def parameter_arguments(self) -> list[str]:
        """The ROS arguments that a node needs: parameters and new names."""
        files = [part for file in self.files for part in (_FILE_FLAGS[0], file)]
        values = [part for each in self.overrides for part in each.given.split(" ", 1)]
        return [*(self.others or (_BEGIN,)), *files, *values]

    def full_name(self, name: str, namespace: str = "") -> str:
        """The full name of a node called `name` in the code. The first remapping rule that fits counts."""
        new_name = self._remapped(("node", "name"), name) or name
        new_namespace = self._remapped(("ns",), new_name) or namespace
        return "/" + "/".join(part for part in (new_namespace.strip("/"), new_name) if part)

    def _remapped(self, what: Sequence[str], node: str) -> str | None:
        for flag, rule in zip(self.others, self.others[1:], strict=False):
            match = _REMAPPED_NAME.fullmatch(rule) if flag in _REMAP_FLAGS else None
            if match and match["what"] in what and match["node"] in (None, node):
                return match["new"]
        return None


def command_line(arguments: Sequence[str] | None = None) -> CommandLine:
    """Take the arguments (default: of this process) apart.

    Raises:
        ParameterError: a value that is not NAME:=VALUE, or a flag without its value.
    """
    rest = iter(sys.argv[1:] if arguments is None else arguments)
    plain: list[str] = []
    files: list[str] = []
    overrides: list[Override] = []
    others: list[str] = []
    is_ros = False
    for argument in rest:
        if argument in (_BEGIN, _END):
            is_ros = argument == _BEGIN
        elif not is_ros:
            plain.append(argument)
        elif argument not in _WITH_VALUE:
            others.append(argument)
        elif (value := next(rest, None)) is None:
            raise ParameterError(f"{argument}: expected a value after it, got nothing")
        elif argument in _FILE_FLAGS:
            files.append(value)
        elif argument in _VALUE_FLAGS:
            overrides.append(_override(argument, value))
        else:
            others += [argument, value]
    return CommandLine(tuple(plain), tuple(files), tuple(overrides), (_BEGIN, *others) if others else ())


def ros_arguments(arguments: Sequence[str]) -> list[str]:
    """The ROS arguments without parameters: remappings, log level and the like, with ``--ros-args``."""
    return list(command_line(arguments).others)


def is_written_by_launch(file: str) -> bool:
    """Whether launch wrote the file, for the values in a launch file's ``parameters``."""
    path = Path(file)
    return path.name.startswith("launch_params_") and path.parent == Path(tempfile.gettempdir())


def _override(flag: str, rule: str) -> Override:
    left, separator, text = rule.partition(":=")
    node, _, name = left.rpartition(":")
    if not separator or not name:
        raise ParameterError(f"{flag}: expected NAME:=VALUE, got {rule!r}")
    return Override(node, name, text)
