# SPDX-License-Identifier: Apache-2.0
"""The small robot's contract, as an object and as a parameter file."""

from pathlib import Path
from typing import Any

import yaml
from small_robot import parameters

from dit_policy_ros.core.contract import Contract, parse_contract
from dit_policy_ros.ros.common import CONTRACT_GROUPS


def small_mapping(**changes: Any) -> dict[str, Any]:
    """The contract's parameters, nested; arguments as of ``parameters``."""
    nested: dict[str, Any] = {}
    for each in parameters(**changes):
        *groups, name = each.name.split(".")
        if each.name.split(".")[0] in CONTRACT_GROUPS:
            place = nested
            for group in groups:
                place = place.setdefault(group, {})
            place[name] = each.value
    return nested


def small_contract(**changes: Any) -> Contract:
    """The contract."""
    return parse_contract(small_mapping(**changes), "small robot")


def write_small_contract(path: Path, policy: dict[str, Any], **changes: Any) -> Path:
    """Write a parameter file with the contract, and parameters of the policy node."""
    sections = {
        "/**": {"ros__parameters": small_mapping(**changes)},
        "/policy": {"ros__parameters": policy},
    }
    path.write_text(yaml.safe_dump(sections))
    return path
