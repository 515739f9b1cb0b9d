# SPDX-License-Identifier: Apache-2.0
"""Which value a parameter gets when parameter files and -p disagree, and which sections of a file apply.

The rule: -p counts more than a file, and a later file more than an earlier one. In one file the section of a
node counts more than a pattern such as ``/**``. The section ``/policy`` is for every policy node, whatever
its name and namespace; a section with the full name of one node counts more.

ROS's own rule differs: a file's section counts more than -p, and ``/policy`` is for a node of that full name
only, so in a namespace half of the file would be dropped without a word. Therefore we merge the sources here
and give ROS one file with the result. ROS still decides what type each value has.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from yaml.constructor import SafeConstructor

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.problems import Problems, did_you_mean, listing, show
from dit_policy_ros.ros.common._command_line import CommandLine, command_line
from dit_policy_ros.ros.common._parameter_table import CONTRACT_GROUPS, Parameter

KINDS = ("policy", "inference", "recorder", "sim", "teleop")  # names of our nodes in the code
_BODY = "ros__parameters"
_ALL = "/**"  # the section for all nodes
_OCTAL = re.compile(r"[+-]?0[0-7]+")  # as C reads whole numbers, and so rcl
_TRUE = frozenset(("y", "yes", "on", "true"))  # rcl accepts them, capitalised or not
_FALSE = frozenset(("n", "no", "off", "false"))
# rcl's errors that mean: this file or value cannot be read.
_RCL_ERRORS = (rclpy_implementation.RCLInvalidROSArgsError, rclpy_implementation.RCLError)


@dataclass(frozen=True, slots=True)
class _Section:
    """The parameters under one node's name in a file; each value as it is written."""

    node: str  # with a slash in front
    values: dict[str, yaml.Node]

    @property
    def is_pattern(self) -> bool:
        """Whether it is for all nodes that match it."""
        return "*" in self.node

    @property
    def kind(self) -> str:
        """The part after the last slash."""
        return self.node.rpartition("/")[2]

    def matches(self, full_name: str) -> bool:
        """Whether a pattern matches a node's full name: * is one part of it, ** any number of parts."""
        parts = (
            "(/[^/]+)*" if part == "**" else "/[^/]+" if part == "*" else "/" + re.escape(part)
            for part in self.node.strip("/").split("/")
        )
        return re.fullmatch("".join(parts), full_name) is not None


@contextlib.contextmanager
def resolved_parameters(
    kind: str, options: Mapping[str, Any], also: tuple[str, Sequence[str]] = ("", ())
) -> Iterator[dict[str, Any]]:
    """Yields the keyword arguments with which to create a node, so that each parameter has its due value.

    Args:
        kind: the node's name in the code, one of KINDS.
        options: keyword arguments of the node; ``cli_args`` are the ROS arguments that count.
        also: another kind whose sections count as well, but less, and the parameters taken from them.

    Raises:
        ParameterError: a file that cannot be read, a section for no node, or a value for another node.
    """
    if options.get("cli_args") is None:
        yield dict(options)
        return
    given = command_line(options["cli_args"])
    full_name = given.full_name(kind, options.get("namespace") or "")
    values = merged(kind, full_name, given, also)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix=f"{kind}_parameters_", suffix=".yaml"
    ) as file:
        file.write(_as_file(values))
        file.flush()
        parameters = ("--ros-args", "--params-file", file.name) if values else ()
        try:
            yield {**options, "cli_args": [*given.others, *parameters]}
        except _RCL_ERRORS as error:
            sources = listing([*given.files, *(override.given for override in given.overrides)])
            raise ParameterError(
                f"ROS cannot read the arguments or parameters ({sources}): {error}"
            ) from error


def merged(
    kind: str, full_name: str, given: CommandLine, also: tuple[str, Sequence[str]] = ("", ())
) -> dict[str, yaml.Node]:
    """The value of each parameter for one node. Raises ParameterError, see ``resolved_parameters``."""
    values: dict[str, yaml.Node] = {}
    for file in given.files:
        sections = _read(file)
        _check_sections(kind, full_name, file, sections)
        other = f"{full_name.rpartition('/')[0]}/{also[0]}"
        for section in sorted(sections, key=lambda each: _rank(each, kind, full_name) or 1.5):
            if _rank(section, kind, full_name) > 0:
                values |= section.values
            elif also[0] and section.node in (other, f"/{also[0]}"):
                taken = {
                    *also[1],
                    *(name for name in section.values if name.split(".")[0] in CONTRACT_GROUPS),
                }
                values |= {name: value for name, value in section.values.items() if name in taken}
    problems = Problems(listing([*given.files, *(["the command line"] if given.overrides else [])]))
    for override in sorted(given.overrides, key=lambda each: bool(each.node)):
        section = _Section("/" + override.node.lstrip("/"), {})
        names = ("", full_name.rpartition("/")[2])
        if override.node not in names and not _rank(section, kind, full_name):
            problems.add_line(
                f"{override.given}: this is a '{kind}' node, called {full_name}: leave the name out, or "
                f"use -p {kind}:{override.name}:={override.text}"
            )
            continue
        values[override.name] = _value(override.text, override.given)
    for name, value in values.items():
        _check_value(name, value, problems)
    problems.raise_if_any(ParameterError, "The parameters are not valid")
    return values


def file_parameters(file: Path, kind: str, namespace: str = "/") -> dict[str, Any]:
    """What a node would take from a parameter file, by dotted name, without a node.

    Args:
        file: like config/bimanual.yaml.
        kind: the node's name in the code, one of KINDS.
        namespace: of the node.

    Raises:
        ParameterError: see ``merged``.
    """
    given = CommandLine((), (str(file),), (), ())
    values = merged(kind, f"{namespace.rstrip('/')}/{kind}", given)
    return {name: _read_value(value) for name, value in values.items()}


def lost_overrides(node: Node, given: CommandLine) -> list[str]:
    """What was asked for with -p but is not what the node uses; empty unless something is wrong."""
    asked = {each.name: each for each in sorted(given.overrides, key=lambda each: bool(each.node))}
    lost = []
    for name, override in asked.items():
        value = node.get_parameter(name).value if node.has_parameter(name) else None
        if not is_value(value, override.text):
            lost.append(f"{override.given} was asked for, but the node uses {show(value)}")
    return lost


def text_problem(entry: Parameter, text: str) -> str | None:
    """The accepted values if a text on the command line is none of them, else None.

    For an early answer; the node judges the value that ROS makes of the text.
    """
    written = _value(text, text)
    if isinstance(written, yaml.SequenceNode):
        return entry.problem(tuple(str(each.value) for each in written.value))
    word = str(written.value)
    with contextlib.suppress(ValueError):
        if entry.kind is bool:
            return None if word.lower() in _TRUE | _FALSE else entry.constraint
        if entry.kind is int:
            return entry.problem(int(word, 0))
        if entry.kind is float:
            return entry.problem(float(word))
    return entry.problem(word)


def is_value(value: Any, text: str) -> bool:
    """Whether a parameter's value is the one that a text on the command line stands for."""
    return _is_value(value, _value(text, text))


def _is_value(value: Any, written: yaml.Node) -> bool:
    if isinstance(written, yaml.SequenceNode):
        entries = written.value
        return (
            not isinstance(value, str | bool | int | float | None)
            and len(value) == len(entries)
            and all(map(_is_value, value, entries))
        )
    text = str(written.value)
    if isinstance(value, str):
        return value == text
    if isinstance(value, bool):
        return text.lower() in (_TRUE if value else _FALSE)
    if not isinstance(value, int | float):
        return False
    with contextlib.suppress(ValueError):
        return int(text, 8 if _OCTAL.fullmatch(text) else 0) == value
    with contextlib.suppress(ValueError):
        number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return number == value or (number != number and value != value)
    return False


def _read_value(written: yaml.Node) -> Any:
    """The value that is written. YAML takes 1e3 for a text, and ROS for a number."""
    value = SafeConstructor().construct_document(written)
    if isinstance(value, str) and isinstance(written, yaml.ScalarNode) and written.style is None:
        with contextlib.suppress(ValueError):
            return float(value) if value[:1] in tuple("+-.0123456789") else value
    return value


def _rank(section: _Section, kind: str, full_name: str) -> int:
    """How much a section counts for a node; 0 if it does not apply."""
    if section.is_pattern:
        return 1 if section.matches(full_name) else 0
    if section.node == full_name:
        return 3
    return 2 if section.node == f"/{kind}" else 0


def _check_sections(kind: str, full_name: str, file: str, sections: Sequence[_Section]) -> None:
    """Refuse sections that look as if they were for this node, but are not."""
    problems = Problems(file)
    is_contract = any(
        name.split(".")[0] in CONTRACT_GROUPS for section in sections for name in section.values
    )
    for section in sections:
        if "*" in section.kind or section.kind in KINDS or _rank(section, kind, full_name):
            continue
        near = did_you_mean(section.kind, KINDS)
        if is_contract or near:
            problems.add_line(
                f"{section.node}: no node is called so.{near} A section for this node, {full_name}, is "
                f"called /{kind}, whatever the node's name and namespace; sections for other programs belong "
                "into a file of their own"
            )
    ours = [
        section
        for section in sections
        if section.node != _ALL and (section.kind == kind or "*" in section.kind)
    ]
    if ours and not any(_rank(section, kind, full_name) for section in ours):
        problems.add_line(
            f"{listing(section.node for section in ours)}: not for this node, which is {full_name}. Call the "
            f"section /{kind} (for every {kind} node) or {full_name}, or start the node under that name"
        )
    problems.raise_if_any(ParameterError, "Not every section of the parameter file can be applied")


def _read(file: str) -> list[_Section]:
    try:
        root = yaml.compose(Path(file).read_text("utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"--params-file {file}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ParameterError(f"--params-file {file}: not valid YAML: {error}") from error
    sections: list[_Section] = []
    _collect(root, "", file, sections)
    return sections


def _collect(node: yaml.Node | None, name: str, file: str, sections: list[_Section]) -> None:
    """Add the sections below one key. Nested names are joined by slashes."""
    if not isinstance(node, yaml.MappingNode):
        where = f"{name}: " if name else ""
        raise ParameterError(
            f"--params-file {file}: {where}expected sections, each a node's name (/** for all) and in it "
            f"'{_BODY}', got {show(None if node is None else node.value)}"
        )
    for key, value in node.value:
        if key.value == _BODY:
            body: dict[str, yaml.Node] = {}
            _flatten(value, "", body)
            sections.append(_Section("/" + name.strip("/"), body))
        else:
            _collect(value, f"{name}/{key.value.strip('/')}", file, sections)


def _flatten(node: yaml.Node, prefix: str, found: dict[str, yaml.Node]) -> None:
    """Collect the values below one key by their full name. An empty body is allowed."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _flatten(value, f"{prefix}.{key.value}" if prefix else str(key.value), found)
    elif prefix:
        found[prefix] = node


def _value(text: str, given: str) -> yaml.Node:
    """A value as it is written after :=. Raises ParameterError for what is no value."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ParameterError(f"{given}: cannot be read as YAML; put a text into quotes: {error}") from error
    if node is None:
        return yaml.ScalarNode("tag:yaml.org,2002:str", "", style="'")
    if isinstance(node, yaml.MappingNode):
        raise ParameterError(f"{given}: expected one value or a list; put a text with ': ' into quotes")
    return node


def _check_value(name: str, value: yaml.Node, problems: Problems) -> None:
    """Add what ROS cannot read, or reads as no parameter at all."""
    if isinstance(value, yaml.ScalarNode):
        if value.value == "" and value.style is None:
            problems.add(name, 'a value ("" is an empty text)', "nothing")
    elif not value.value:
        hint = " Leave the section cameras out if there are none." if name == "cameras.names" else ""
        problems.add(name, "a list with at least one entry (ROS knows no empty ones)", "[]", hint)
    elif not all(isinstance(entry, yaml.ScalarNode) for entry in value.value):
        problems.add(name, "a list of single values", "a list with groups or lists in it")


def _as_file(values: Mapping[str, yaml.Node]) -> str:
    """A parameter file with these values for any node."""

    def mapping(pairs: Mapping[str, yaml.Node]) -> yaml.MappingNode:
        text = "tag:yaml.org,2002:str"
        return yaml.MappingNode(
            "tag:yaml.org,2002:map",
            [(yaml.ScalarNode(text, name, style='"'), value) for name, value in pairs.items()],
        )

    return yaml.serialize(
        mapping({_ALL: mapping({_BODY: mapping(values)})}),
        Dumper=yaml.SafeDumper,
        width=float("inf"),
        allow_unicode=True,
    )
