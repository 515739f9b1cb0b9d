# SPDX-License-Identifier: Apache-2.0
"""Parses the joint limits of the contract, which may come from a URDF."""

import math
import operator
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from dit_policy_ros.core.contract._contract import Limits
from dit_policy_ros.core.contract._mapping_reader import MappingReader
from dit_policy_ros.core.contract._urdf import UrdfJoint, read_urdf
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.problems import Problems, show

_GROUP = (
    "a group with position_min, position_max, velocity and acceleration (optional: jerk, continuous, "
    "prismatic)"
)
_NO_LIMITS = UrdfJoint(None, None, None)


def parse_limits(root: MappingReader, joints: tuple[str, ...], problems: Problems) -> Limits:
    """The limits of all joints. Mistakes are added to ``problems``; the result is not valid then.

    Position and velocity limits come from the contract or from the URDF that `urdf` names. If both have one,
    the contract's must be within the URDF's. Acceleration limits come from the contract and have no default.
    """
    urdf = _urdf(root, problems)
    group = root.group("limits", "a group with one entry per joint")
    rows, prismatic = [], []
    for joint in joints if group is not None else ():
        entry = group.group(joint, _GROUP) if group is not None else None
        if entry is not None:
            of_urdf = _checked(joint, urdf.get(joint, _NO_LIMITS), problems)
            prismatic.append(_prismatic(entry, of_urdf, problems))
            rows.append(_row(entry, of_urdf, problems))
    if group is not None:
        group.report_unknown_keys()
    columns = np.array(rows, dtype=np.float64).reshape(-1, 5).T  # (5, A)
    return Limits(*columns, prismatic=np.array(prismatic, dtype=bool))


def _urdf(root: MappingReader, problems: Problems) -> Mapping[str, UrdfJoint]:
    path = root.optional_text("urdf", "the path of a URDF file")
    if not path:
        return {}
    try:
        return read_urdf(Path(path))
    except ContractError as error:
        problems.add_line(f"urdf: {error}")
        return {}


def _checked(name: str, joint: UrdfJoint, problems: Problems) -> UrdfJoint:
    """The joint, with NaN for values that would not be accepted in the contract either; they are problems."""

    def accepted(attribute: str, value: float | None, expected: str, is_valid: bool) -> float | None:
        if value is None or is_valid:
            return value
        problems.add_line(
            f"urdf: {attribute} of joint {name}: expected {expected}, got {show(value)}. Correct the URDF"
        )
        return math.nan

    low, high, velocity = joint.position_min, joint.position_max, joint.velocity
    low = accepted("lower", low, "a finite number [rad or m]", low is not None and math.isfinite(low))
    high = accepted("upper", high, "a finite number [rad or m]", high is not None and math.isfinite(high))
    moves = velocity is not None and math.isfinite(velocity) and velocity > 0.0
    velocity = accepted("velocity", velocity, "a finite number above 0 [rad/s or m/s]", moves)
    return replace(joint, position_min=low, position_max=high, velocity=velocity)


def _prismatic(entry: MappingReader, urdf: UrdfJoint, problems: Problems) -> bool:
    """Whether a joint slides, so that its unit is the metre. Without a URDF the contract says it."""
    prismatic = entry.boolean("prismatic", default=bool(urdf.prismatic))
    if urdf.prismatic is not None and prismatic is not urdf.prismatic:
        problems.add(entry.key("prismatic"), f"{urdf.prismatic}, as the URDF says", show(prismatic))
    return prismatic


def _row(entry: MappingReader, urdf: UrdfJoint, problems: Problems) -> tuple[float, ...]:
    """One joint's position_min, position_max, velocity, acceleration and jerk."""
    continuous = entry.boolean("continuous", default=urdf.continuous)
    if continuous:
        if entry.boolean("prismatic", default=bool(urdf.prismatic)):
            problems.add(entry.key("continuous"), "false for a prismatic joint: it cannot turn", "true")
        low, high = -math.inf, math.inf
        for name in ("position_min", "position_max"):
            if entry.has(name):
                problems.add(entry.key(name), "no position limit for a continuous joint", "one")
                entry.number(name, "", lambda value: True)
    else:
        low = entry.number("position_min", "a finite number [rad or m]", lambda v: True, urdf.position_min)
        high = entry.number("position_max", "a finite number [rad or m]", lambda v: True, urdf.position_max)
    velocity = entry.number("velocity", "a number above 0 [rad/s or m/s]", lambda v: v > 0.0, urdf.velocity)
    acceleration = entry.number("acceleration", "a number above 0 [rad/s^2 or m/s^2]", lambda v: v > 0.0)
    jerk = entry.number("jerk", "a number above 0 [rad/s^3 or m/s^3]", lambda v: v > 0.0, math.inf)
    entry.report_unknown_keys()
    if low >= high:
        problems.add(entry.key("position_max"), f"a number above position_min = {show(low)}", show(high))
    for name, value, limit, beyond in (
        ("position_min", low, urdf.position_min, operator.lt),
        ("position_max", high, urdf.position_max, operator.gt),
        ("velocity", velocity, urdf.velocity, operator.gt),
    ):
        if limit is not None and beyond(value, limit):
            problems.add(entry.key(name), f"a value within the URDF's limit {limit:g}", f"{value:g}")
    return low, high, velocity, acceleration, jerk
