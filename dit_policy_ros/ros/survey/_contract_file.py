# SPDX-License-Identifier: Apache-2.0
"""Reads the contract and the policy node's parameters from a parameter file, without a node."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dit_policy_ros.core.contract import Contract, parse_contract
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.ros.common import CONTRACT_GROUPS

_SECTIONS = ("/**", "/policy")  # a later one counts more
_BODY = "ros__parameters"


@dataclass(frozen=True, slots=True)
class ContractFile:
    """A robot's parameter file.

    Attributes:
        path: of the file.
        contract: of the robot.
        parameters: all others of the policy node, by dotted name.
    """

    path: Path
    contract: Contract
    parameters: Mapping[str, Any]


def read_contract_file(path: Path) -> ContractFile:
    """Read a file like config/bimanual.yaml.

    Raises:
        ContractError: it cannot be read, or its contract is not valid.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(f"{path} cannot be read as a parameter file: {error}") from error
    sections = content if isinstance(content, dict) else {}
    merged: dict[str, Any] = {}
    for name in _SECTIONS:
        section = sections.get(name)
        body = section.get(_BODY) if isinstance(section, dict) else None
        if isinstance(body, dict):
            merged = _merged(merged, {str(key): value for key, value in body.items()})
    contract = {name: value for name, value in merged.items() if name.split(".")[0] in CONTRACT_GROUPS}
    if not contract:
        raise ContractError(
            f"{path} has no contract: expected the section '/**' with {_BODY}: robot_type, fps, ... as in "
            "config/bimanual.yaml"
        )
    others = {name: value for name, value in merged.items() if name not in contract}
    return ContractFile(path, parse_contract(contract, str(path)), _flat(others))


def _merged(first: dict[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings; where both have a value, the second one's."""
    result = dict(first)
    for name, value in second.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            value = _merged(before, value)
        result[name] = value
    return result


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
