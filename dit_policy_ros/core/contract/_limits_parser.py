# SPDX-License-Identifier: Apache-2.0
"""Parses the joint limits of the contract, which may come from a URDF."""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dit_policy_ros.core.contract._contract import Limits
from dit_policy_ros.core.contract._mapping_reader import MappingReader
from dit_policy_ros.core.contract._pose_parser import (
    LIMITS_GROUP,
    PoseLimits,
    read_pose_limits,
    read_rest_pose,
)
from dit_policy_ros.core.contract._robot_names import RobotName
from dit_policy_ros.core.contract._urdf import UrdfJoint, find_urdf, read_urdf
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.problems import Problems, show

_GROUP = (
    "a group with position_min, position_max, velocity and acceleration (optional: jerk, continuous, "
    "prismatic)"
)
_NO_LIMITS = UrdfJoint(None, None, None)
_UNREADABLE = UrdfJoint(math.nan, math.nan, math.nan)  # its limits are not missing: the file is the problem


def parse_limits(
    root: MappingReader,
    joints: tuple[str, ...],
    robot: Mapping[str, RobotName],
    arms: Sequence[str],
    problems: Problems,
) -> tuple[Limits, dict[str, PoseLimits]]:
    """The limits of all joints. Mistakes are added to ``problems``; the result is not valid then.

    Position and velocity limits come from the contract or from the URDF that `urdf` names. If both have one,
    the contract's must be within the URDF's. Acceleration limits come from the contract and have no default.
    robot: by joint, what the robot calls it; the URDF may have that name if the unit is the same.
    arms: those joints that are arms controlled by poses, which have six coordinates. Their limits are
    returned by arm as well.
    """
    urdf = _urdf(root, problems)
    group = root.group("limits", "a group with one entry per joint")
    rows, prismatic, poses = [], [], dict[str, PoseLimits]()
    for joint in joints if group is not None else ():
        expected = LIMITS_GROUP if joint in arms else _GROUP
        entry = group.group(joint, expected) if group is not None else None
        if entry is not None and joint in arms:
            poses[joint] = read_pose_limits(entry, problems)
            rows += list(poses[joint].rows)
            prismatic += poses[joint].prismatic
        elif entry is not None:
            found = _UNREADABLE if urdf is None else _of_urdf(urdf, joint, robot)
            of_urdf = found if urdf is None else _checked(joint, found, problems)
            prismatic.append(_prismatic(entry, of_urdf, problems))
            rows.append(_row(entry, of_urdf, problems))
    if group is not None:
        group.report_unknown_keys()
    columns = np.array(rows, dtype=np.float64).reshape(-1, 5).T  # (5, A)
    return Limits(*columns, prismatic=np.array(prismatic, dtype=bool)), poses


def parse_rest_pose(
    root: MappingReader,
    joints: tuple[str, ...],
    limits: Limits,
    arms: Mapping[str, PoseLimits],
    problems: Problems,
) -> tuple[float, ...]:
    """The rest pose of all joints, within their limits; empty without one. Mistakes go to ``problems``.

    arms: the limits of those joints that are arms controlled by poses.
    """
    group = root.group("rest_pose", "a position for each joint") if root.has("rest_pose") else None
    if group is None:
        return ()
    pose: list[float] = []
    for joint in joints:
        if joint in arms:
            pose += read_rest_pose(group, arms[joint], joint, problems)
            continue
        index = len(pose)
        has_limits = index < len(limits.position_min)
        low = float(limits.position_min[index]) if has_limits else -math.inf
        high = float(limits.position_max[index]) if has_limits else math.inf
        expected = f"a position within the joint's limits, {low:g} to {high:g} [rad or m]"
        pose.append(group.number(joint, expected, lambda v, low=low, high=high: not (v < low or v > high)))
    group.report_unknown_keys()
    return tuple(pose)


def _of_urdf(urdf: Mapping[str, UrdfJoint], joint: str, robot: Mapping[str, RobotName]) -> UrdfJoint:
    """A joint of the URDF, by its own name or by the robot's."""
    name = robot[joint]
    return urdf.get(joint, urdf.get(name.name, _NO_LIMITS) if name.is_plain else _NO_LIMITS)


def _urdf(root: MappingReader, problems: Problems) -> Mapping[str, UrdfJoint] | None:
    """The joints of the URDF, none without a URDF; None if it cannot be read."""
    path = root.optional_text("urdf", "the path of a URDF file")
    if not path:
        return {}
    try:
        return read_urdf(find_urdf(path))
    except ContractError as error:
        problems.add_line(f"urdf: {error}")
        return None


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
