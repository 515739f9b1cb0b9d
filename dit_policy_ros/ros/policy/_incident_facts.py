# SPDX-License-Identifier: Apache-2.0
"""What incident.json says about the node."""

import math
import platform
from typing import Any

import numpy as np

from dit_policy_ros.core.share import package_version
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.policy._node_state import Configured


def incident_facts(
    configured: Configured | None, status: PolicyStatus, now_ns: int, events: list[dict[str, Any]]
) -> dict[str, Any]:
    """Versions, robot, parameters, policy, status and recent events, ready for JSON.

    Args:
        configured: of the node; None while unconfigured.
        status: present status.
        now_ns: present time of the node's clock [ns].
        events: recent events, oldest first.
    """
    fields = {name: getattr(status, name) for name in status.get_fields_and_field_types()}
    fields["stamp"] = now_ns
    contract = None if configured is None else configured.contract
    return {
        "version": package_version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "robot_type": "" if contract is None else contract.robot_type,
        "joints": [] if contract is None else list(contract.joints),
        "controllers": {} if contract is None else {c.name: list(c.joints) for c in contract.controllers},
        "parameters": {} if configured is None else dict(configured.settings),
        "policy": "" if configured is None else configured.policy.description,
        "device": "" if configured is None else configured.policy.device,
        "steps": 0 if configured is None else configured.policy.steps,
        # JSON has no NaN: a figure without a measurement is null.
        "status": {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in fields.items()
        },
        "events": events,
    }
