# SPDX-License-Identifier: Apache-2.0
"""Writes measured latencies into a parameter file, and leaves everything else as it is, comments too."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.errors import CalibrationError
from dit_policy_ros.evaluation.calibration._results import Latencies

_DIGITS = 4  # tenths of a millisecond
_GROUPS = ("controllers", "cameras")


def write_latencies(path: Path, latencies: Latencies) -> None:
    """Write the latencies into the contract.

    Raises:
        CalibrationError: the file is written in a way that cannot be changed safely; it is unchanged.
    """
    write_atomically(path, updated_contract(path.read_text(encoding="utf-8"), latencies).encode())


def updated_contract(text: str, latencies: Latencies) -> str:
    """The text of a parameter file with the latencies in it.

    Raises:
        CalibrationError: see ``write_latencies``; its message has the lines to write by hand.
    """
    wanted = {
        (group, name): {
            "latency": round(max(lag.seconds, 0.0) if group == "controllers" else lag.seconds, _DIGITS),
            "latency_uncertainty": round(lag.uncertainty, _DIGITS),
        }
        for group in _GROUPS
        for name, lag in getattr(latencies, group).items()
    }
    expected = copy.deepcopy(yaml.safe_load(text))
    changed, is_complete = text, True
    for (group, name), values in wanted.items():
        entry = _contract(expected).get(group, {}).get(name)
        is_complete &= isinstance(entry, dict)
        if isinstance(entry, dict):
            entry |= values
        changed = _with_entry(changed, (group, name), values)
    if not is_complete or yaml.safe_load(changed) != expected:
        lines = [f"{group}.{name}: {_flow(values)}" for (group, name), values in wanted.items()]
        raise CalibrationError(
            "the contract's file cannot be changed without changing more than the latencies. Add them by "
            "hand:\n  " + "\n  ".join(lines)
        )
    return changed


def _contract(content: Any) -> dict[str, Any]:
    section = content.get("/**") if isinstance(content, dict) else None
    body = section.get("ros__parameters") if isinstance(section, dict) else None
    return body if isinstance(body, dict) else {}


def _with_entry(text: str, path: tuple[str, str], values: Mapping[str, Any]) -> str:
    """The text with the keys of one camera or controller set; found by the position of its YAML node."""
    node = _find(yaml.compose(text), ("/**", "ros__parameters", *path))
    if not isinstance(node, yaml.MappingNode):
        return text  # the caller sees that nothing has changed
    for key, value in values.items():
        found = next((pair for pair in node.value if pair[0].value == key), None)
        if found is not None:
            begin, end = found[1].start_mark.index, found[1].end_mark.index
            text = text[:begin] + f"{value}" + text[end:]
        elif node.flow_style:
            end = node.end_mark.index - 1  # the closing brace
            before = text[:end].rstrip()
            comma = "" if before.endswith(("{", ",")) else ","
            text = f"{before}{comma} {key}: {value}" + text[end:]
        else:
            first, _ = node.value[0]
            line = f"{key}: {value}\n" + " " * first.start_mark.column
            text = text[: first.start_mark.index] + line + text[first.start_mark.index :]
        node = _find(yaml.compose(text), ("/**", "ros__parameters", *path))
        if not isinstance(node, yaml.MappingNode):
            raise CalibrationError(f"the contract cannot be read any more after {key} of {path[1]} was set")
    return text


def _find(node: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for key, value in node.value if key.value == name), None)
    return node


def _flow(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"
