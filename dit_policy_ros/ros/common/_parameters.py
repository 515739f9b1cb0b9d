# SPDX-License-Identifier: Apache-2.0
"""Parameters of the nodes: declared once, in a table, and checked when they are read and when they change.

A node is created with `automatically_declare_parameters_from_overrides=True`, so that names nobody knows are
seen and reported. Names that begin like the robot contract go to the contract's parser.
"""

import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from dit_policy_ros.core.contract import Contract, parse_contract
from dit_policy_ros.core.errors import ContractError, ParameterError
from dit_policy_ros.core.problems import Problems, did_you_mean, listing, show
from dit_policy_ros.ros.common._parameter_table import CONTRACT_PARAMETERS, Parameter

_CONTRACT_ROOTS = sorted({pattern.name.split(".")[0] for pattern in CONTRACT_PARAMETERS})
_NOT_OURS = re.compile(r"use_sim_time|start_type_description_service|qos_overrides(\..+)?")
_ROS_TYPES = {
    bool: RosParameter.Type.BOOL,
    int: RosParameter.Type.INTEGER,
    float: RosParameter.Type.DOUBLE,
    str: RosParameter.Type.STRING,
    tuple: RosParameter.Type.STRING_ARRAY,
}


def declare_parameters(node: Node, table: Sequence[Parameter]) -> None:
    """Declares the table's parameters with their descriptors and has changes at run time checked.

    Never raises for a value that the user set: a wrong one stays until `read_parameters` reports it, and can
    be mended by setting the parameter before the next try.
    """
    entries = {entry.name: entry for entry in table}
    for name, value in _values(node).items():
        if name not in entries and not _is_contract(name):
            continue
        node.undeclare_parameter(name)
        node.declare_parameter(name, value, ParameterDescriptor(dynamic_typing=True), ignore_override=True)
    for entry in table:
        if not node.has_parameter(entry.name):
            _declare(node, entry, entry.name, entry.default)
        elif entry.problem(node.get_parameter(entry.name).value) is None:
            _settle(node, entry, entry.name)

    def check(changes: list[RosParameter]) -> SetParametersResult:
        for change in changes:
            entry = entries.get(change.name)
            expected = None if entry is None else entry.problem(change.value)
            if expected is not None:
                reason = f"{change.name}: expected {expected}, got {show(change.value)}"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)


def read_parameters(node: Node, table: Sequence[Parameter]) -> tuple[Contract, dict[str, Any]]:
    """The robot contract and the value of every parameter of the table.

    Raises ParameterError or ContractError that lists everything wrong: unknown names, types, ranges, NaN.
    """
    source = configuration_source(node)
    complaints: list[str] = []
    settings: dict[str, Any] = {}
    error: type[ParameterError] | type[ContractError] = ContractError
    contract = None
    try:
        contract = parse_contract(_contract_mapping(node), source)
    except ContractError as caught:
        complaints.append(str(caught))
    try:
        settings = read_settings(node, table)
    except ParameterError as caught:
        complaints.append(str(caught))
        error = ParameterError
    if contract is None or complaints:
        raise error("\n".join(complaints))
    _describe_contract(node)
    return contract, settings


def read_settings(node: Node, table: Sequence[Parameter]) -> dict[str, Any]:
    """The value of every parameter of the table; parameters of the contract may be there and are not read.

    Raises ParameterError that lists everything wrong.
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
            _settle(node, entry, entry.name)
    for name in sorted(values):
        if name not in known and not _is_contract(name) and not _NOT_OURS.fullmatch(name):
            valid = [*known, *_CONTRACT_ROOTS]
            hint = did_you_mean(name, valid)
            problems.add(name, f"one of: {listing(valid)}", "an unknown parameter", hint)
    problems.raise_if_any(ParameterError, "The parameters are not valid")
    return settings


def configuration_source(node: Node) -> str:
    """Where a node's parameters come from, as far as its command line tells."""
    arguments = sys.argv
    files = [
        value
        for flag, value in pairwise(arguments)
        if flag == "--params-file"
        and not value.startswith("/tmp/launch_params_")  # single values of a launch file
    ]
    name = f"parameters of node '{node.get_fully_qualified_name()}'"
    return f"{name}, from {listing(files)}" if files else name


def _values(node: Node) -> dict[str, Any]:
    return {name: node.get_parameter(name).value for name in node.list_parameters([], 0).names}


def _contract_mapping(node: Node) -> dict[str, Any]:
    """The contract's parameters as a nested mapping; dots in names are the levels."""
    root: dict[str, Any] = {}
    for name, value in _values(node).items():
        path = name.split(".")
        if not _is_contract(name):
            continue
        place = root
        for key in path[:-1]:
            inner = place.setdefault(key, {})
            # A value where a group should be: the parser reports the value, the names below it are moot.
            place = inner if isinstance(inner, dict) else {}
        place[path[-1]] = value
    return root


def _describe_contract(node: Node) -> None:
    """Gives the contract's parameters their descriptors; they cannot be changed from here on."""
    for name in _values(node):
        for entry in CONTRACT_PARAMETERS:
            if entry.matches(name):
                _settle(node, entry, name)


def _is_contract(name: str) -> bool:
    return name.split(".")[0] in _CONTRACT_ROOTS


def _settle(node: Node, entry: Parameter, name: str) -> None:
    """Gives a parameter with a good value its type and descriptor, unless it has them."""
    if node.has_parameter(name) and not node.describe_parameter(name).description:
        value = node.get_parameter(name).value
        node.undeclare_parameter(name)
        _declare(node, entry, name, entry.convert(value))


def _declare(node: Node, entry: Parameter, name: str, value: Any) -> None:
    kind = _ROS_TYPES[entry.kind]
    descriptor = ParameterDescriptor(
        name=name,
        type=kind.value,
        description=f"{entry.description} [{entry.unit}]" if entry.unit else entry.description,
        additional_constraints=entry.constraint,
        read_only=entry.read_only,
    )
    if entry.low is not None and entry.high is not None:
        # Left open at one side ROS cannot express it; `check` knows all bounds.
        if entry.kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(entry.low), to_value=int(entry.high))]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(entry.low), to_value=float(entry.high))
            ]
    value = list(value) if entry.kind is tuple else value
    node.declare_parameter(name, value, descriptor, ignore_override=True)
