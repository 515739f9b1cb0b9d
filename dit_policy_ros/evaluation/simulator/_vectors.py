# SPDX-License-Identifier: Apache-2.0
"""The further vectors of the simulated robot, as the contract of a node that records or reads them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dit_policy_ros.core.lerobot_keys import vector_name
from dit_policy_ros.sim.vectors import SIM_VECTORS, find_vectors


def vectors_section(names: Iterable[str]) -> dict[str, Any]:
    """The contract's section `vectors` for these vectors of the simulated robot.

    Raises SimulationError for an unknown one.
    """
    found = find_vectors(tuple(names))
    keys = ("topic", "max_age", "field")
    groups = {
        each.name: {"type": str(each.type), **{key: getattr(each, key) for key in keys}} for each in found
    }
    return {"names": list(groups), **groups}


def vector_parameters(checkpoint: Path) -> dict[str, str]:
    """The section for what a checkpoint reads, as a node's parameters: text by name.

    It has only what the simulated robot measures; the policy node says what is missing. None for a checkpoint
    that is not on this machine yet.
    """
    try:
        wanted = json.loads((checkpoint / "config.json").read_text()).get("state_features", [])
    except (OSError, ValueError, AttributeError):
        return {}  # whoever loads it says what is wrong
    known = {vector.name for vector in SIM_VECTORS}
    section = vectors_section(name for name in map(vector_name, wanted) if name in known)
    listed = section.pop("names")
    if not listed:
        return {}
    values = {f"vectors.{name}.{key}": str(value) for name in listed for key, value in section[name].items()}
    return {"vectors.names": f"[{', '.join(listed)}]", **values}
