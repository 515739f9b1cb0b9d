# SPDX-License-Identifier: Apache-2.0
"""Every node parameter in config/bimanual.yaml is in the node's table, valid, and equal to the default."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import yaml

from dit_policy_ros.ros.policy import POLICY_PARAMETERS
from dit_policy_ros.ros.recorder import RECORDER_PARAMETERS

SECTIONS = yaml.safe_load((Path(__file__).parents[3] / "config" / "bimanual.yaml").read_text())
TABLES = {"/policy": POLICY_PARAMETERS, "/recorder": RECORDER_PARAMETERS}


def flat(section: dict, prefix: str = "") -> dict:
    found = {}
    for key, value in section.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


@pytest.mark.parametrize("node", TABLES)
def test_every_value_in_the_file_is_known_and_valid(node: str) -> None:
    table = {entry.name: entry for entry in TABLES[node]}
    for name, value in flat(SECTIONS[node]["ros__parameters"]).items():
        assert name in table
        assert table[name].problem(value) is None, name


@pytest.mark.parametrize("node", TABLES)
def test_defaults_are_valid_and_every_parameter_has_a_description(node: str) -> None:
    for entry in TABLES[node]:
        assert entry.problem(entry.default) is None, entry.name
        assert entry.description, entry.name


@pytest.mark.parametrize("node", TABLES)
def test_the_file_repeats_the_defaults(node: str) -> None:
    """So that deleting a line changes nothing."""
    table = {entry.name: entry for entry in TABLES[node]}
    values = flat(SECTIONS[node]["ros__parameters"])
    assert {name: table[name].convert(value) for name, value in values.items()} == {
        name: table[name].default for name in values
    }
