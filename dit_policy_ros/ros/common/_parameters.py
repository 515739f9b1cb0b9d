# SPDX-License-Identifier: Apache-2.0
"""Declares the nodes' parameters from their tables, and checks values when they are read or changed.

Create the node with `automatically_declare_parameters_from_overrides=True`, so that unknown names are seen
and reported. Names that begin like the robot contract are read by the contract's parser.
"""

import re
import sys
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from dit_policy_ros.core.contract import Contract, parse_contract
from dit_policy_ros.core.errors import ContractError, ParameterError
from dit_policy_ros.core.problems import Problems, did_you_mean, listing, show
from dit_policy_ros.ros.common._command_line import is_written_by_launch
from dit_policy_ros.ros.common._lifecycle import GuardedLifecycleNode
from dit_policy_ros.ros.common._parameter_table import CONTRACT_GROUPS, CONTRACT_PARAMETERS, Parameter

_SIM_TIME = "use_sim_time"
_ROS_OWN = re.compile(r"use_sim_time|start_type_description_service|qos_overrides(\..+)?")
_ROS_TYPES = {
    bool: RosParameter.Type.BOOL,
    int: RosParameter.Type.INTEGER,
    float: RosParameter.Type.DOUBLE,
    str: RosParameter.Type.STRING,
    tuple: RosParameter.Type.STRING_ARRAY,
    list: RosParameter.Type.DOUBLE_ARRAY,
}


class _RefusedName(ParameterNotDeclaredException):
    """Refuses a name with a reason. rclpy's services answer with it, as for any undeclared parameter."""

    def __init__(self, text: str) -> None:
        Exception.__init__(self, text)


def declare_parameters(node: Node, table: Sequence[Parameter]) -> None:
    """Declares the table's parameters with their descriptors, and checks every later change.

    Never raises for a value that the user set: a wrong value stays until `read_parameters` reports it, and
    the user can correct it with `ros2 param set` before the next try; a wrong name can be deleted with
    `ros2 param delete`. Fixed parameters, the contract and use_sim_time can be changed while a lifecycle node
    is unconfigured. Other nodes read them when they start.
    """
    entries = {entry.name: entry for entry in table}
    for name, value in _values(node).items():
        if _ROS_OWN.fullmatch(name):
            continue
        node.undeclare_parameter(name)
        node.declare_parameter(name, value, ParameterDescriptor(dynamic_typing=True), ignore_override=True)
    for entry in table:
        if not node.has_parameter(entry.name):
            _declare(node, entry, entry.name, entry.default)
        elif entry.problem(node.get_parameter(entry.name).value) is None:
            _add_descriptor(node, entry, entry.name)
    renamed = _renamed(table)

    def prepare(changes: list[RosParameter]) -> list[RosParameter]:
        for change in changes:
            if change.name in renamed and change.value is not None:
                raise _RefusedName(renamed[change.name])
            if not node.has_parameter(change.name) and _describes_contract(change.name):
                if reason := _refusal(node, change.name):
                    raise _RefusedName(reason)
                # The file lacks it. Declared now, it can be set.
                dynamic = ParameterDescriptor(dynamic_typing=True)
                node.declare_parameter(change.name, None, dynamic, ignore_override=True)
        return changes

    def check(changes: list[RosParameter]) -> SetParametersResult:
        for change in changes:
            entry = entries.get(change.name)
            is_fixed = entry.fixed if entry else change.name == _SIM_TIME or _is_contract(change.name)
            # What is not there is being declared by us: only that passes `prepare`.
            if is_fixed and node.has_parameter(change.name) and (reason := _refusal(node, change.name)):
                return SetParametersResult(successful=False, reason=reason)
            expected = None if entry is None else entry.problem(change.value)
            if expected is not None:
                reason = f"{change.name}: expected {expected}, got {show(change.value)}"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    node.add_pre_set_parameters_callback(prepare)
    node.add_on_set_parameters_callback(check)


def read_parameters(node: Node, table: Sequence[Parameter]) -> tuple[Contract, dict[str, Any]]:
    """The robot contract, and the value of every parameter in the table.

    Raises ParameterError or ContractError that lists all problems: unknown and former names, wrong types,
    values out of range, NaN.
    """
    source = configuration_source(node)
    messages: list[str] = []
    settings: dict[str, Any] = {}
    error: type[ParameterError] | type[ContractError] = ContractError
    contract = None
    try:
        contract = parse_contract(_contract_mapping(node, {entry.name for entry in table}), source)
    except ContractError as caught:
        messages.append(str(caught))
    try:
        settings = read_settings(node, table)
    except ParameterError as caught:
        messages.append(str(caught))
        error = ParameterError
    if contract is None or messages:
        raise error("\n".join(messages))
    _describe_contract(node)
    return contract, settings


def has_contract(node: Node) -> bool:
    """Whether a parameter of the robot contract has a value."""
    return any(pattern.matches(name) for name in _values(node) for pattern in CONTRACT_PARAMETERS)


def read_settings(node: Node, table: Sequence[Parameter]) -> dict[str, Any]:
    """The value of every parameter in the table. Parameters of the contract are allowed, but not read.

    Raises ParameterError that lists all problems.
    """
    values = _values(node)
    problems = Problems(configuration_source(node))
    settings: dict[str, Any] = {}
    known = {entry.name: entry for entry in table}
    for entry in table:
        value = values.get(entry.name, entry.default)
        expected = entry.problem(value)
        if expected is not None:
            problems.add(entry.name, expected, show(value))
        else:
            settings[entry.name] = entry.convert(value)
            _add_descriptor(node, entry, entry.name)
    renamed = _renamed(table)
    for name in sorted(values):
        if name in renamed:
            problems.add_line(renamed[name])
        elif name not in known and not _is_contract(name) and not _ROS_OWN.fullmatch(name):
            valid = [*known, *CONTRACT_GROUPS]
            hint = did_you_mean(name, valid)
            problems.add(name, f"one of: {listing(valid)}", "an unknown parameter", hint)
    problems.raise_if_any(ParameterError, "The parameters are not valid")
    return settings


def configuration_source(node: Node) -> str:
    """Which node's parameters these are, and the parameter files on its command line: for error messages."""
    files = [
        value
        for flag, value in pairwise(sys.argv)
        if flag == "--params-file" and not is_written_by_launch(value)
    ]
    name = f"parameters of node '{node.get_fully_qualified_name()}'"
    return f"{name}, from {listing(files)}" if files else name


def _renamed(table: Sequence[Parameter]) -> dict[str, str]:
    """What to say about each former name."""
    return {
        entry.former_name: f"{entry.former_name} was renamed: use {entry.name}"
        for entry in table
        if entry.former_name
    }


def _refusal(node: Node, parameter: str) -> str:
    """Why a fixed parameter cannot be changed now, and what to do; empty if it can be."""
    name = node.get_fully_qualified_name()
    if not isinstance(node, GuardedLifecycleNode):
        return f"{parameter} is read when the node starts: start it again with -p {parameter}:=VALUE"
    if not node.is_configured:
        return ""
    if node.lifecycle_state == "unconfigured":
        return (
            f"{parameter} cannot be changed while the node is being configured; try again when it has ended"
        )
    deactivate = f"`ros2 lifecycle set {name} deactivate`, " if node.lifecycle_state == "active" else ""
    return (
        f"{parameter} is read at configure and cannot be changed while the node is {node.lifecycle_state}. "
        f"Run {deactivate}`ros2 lifecycle set {name} cleanup`, set it, and configure again"
    )


def _values(node: Node) -> dict[str, Any]:
    """The values of all parameters that have one."""
    values = {name: node.get_parameter(name).value for name in node.list_parameters([], 0).names}
    return {name: value for name, value in values.items() if value is not None}


def _contract_mapping(node: Node, own: Collection[str]) -> dict[str, Any]:
    """The contract's parameters as a nested mapping: each dot in a name is one level.

    own: names of the node's own parameters, which are left out.
    """
    root: dict[str, Any] = {}
    for name, value in _values(node).items():
        path = name.split(".")
        if not _is_contract(name) or name in own:
            continue
        group = root
        for key in path[:-1]:
            inner = group.setdefault(key, {})
            # A value where a group is expected: the parser reports the value, so we drop the names below it.
            group = inner if isinstance(inner, dict) else {}
        group[path[-1]] = value
    return root


def _describe_contract(node: Node) -> None:
    """Adds descriptors to the contract's parameters."""
    for name in _values(node):
        for entry in CONTRACT_PARAMETERS:
            if entry.matches(name):
                _add_descriptor(node, entry, name)


def _describes_contract(name: str) -> bool:
    return any(entry.matches(name) for entry in CONTRACT_PARAMETERS)


def _is_contract(name: str) -> bool:
    return name.split(".")[0] in CONTRACT_GROUPS


def _add_descriptor(node: Node, entry: Parameter, name: str) -> None:
    """Gives a declared parameter with a valid value its type and descriptor, if it has none yet."""
    if node.has_parameter(name) and not node.describe_parameter(name).description:
        value = node.get_parameter(name).value
        if entry.problem(value) is not None:
            return  # the rest pose of an arm that is controlled by poses
        node.undeclare_parameter(name)
        _declare(node, entry, name, entry.convert(value))


def _when_fixed(node: Node) -> str:
    return "; read at configure" if isinstance(node, GuardedLifecycleNode) else "; read at start"


def _declare(node: Node, entry: Parameter, name: str, value: Any) -> None:
    kind = _ROS_TYPES[entry.kind]
    descriptor = ParameterDescriptor(
        name=name,
        type=kind.value,
        description=f"{entry.description} [{entry.unit}]" if entry.unit else entry.description,
        additional_constraints=entry.constraint + _when_fixed(node) if entry.fixed else entry.constraint,
    )
    if entry.low is not None and entry.high is not None:
        # A ROS range needs both bounds. `check` in declare_parameters also enforces one-sided ones.
        if entry.kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(entry.low), to_value=int(entry.high))]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(entry.low), to_value=float(entry.high))
            ]
    value = list(value) if entry.kind is tuple else value
    node.declare_parameter(name, value, descriptor, ignore_override=True)
