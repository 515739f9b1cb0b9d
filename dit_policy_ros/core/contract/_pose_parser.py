# SPDX-License-Identifier: Apache-2.0
"""Parses what the contract says of an arm that is controlled by poses: its limits, frame and topics."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dit_policy_ros.core.contract._contract import ControllerType
from dit_policy_ros.core.contract._mapping_reader import MappingReader, is_topic
from dit_policy_ros.core.errors import PoseError
from dit_policy_ros.core.poses import (
    COORDINATES,
    MAX_ROTATION,
    PoseArm,
    PoseChart,
    axis_limits,
    turning_acceleration,
)
from dit_policy_ros.core.problems import Problems, show

LIMITS_GROUP = (
    "a group with workspace_min, workspace_max, orientation, max_rotation, linear_velocity, "
    "linear_acceleration, angular_velocity and angular_acceleration, because its controller takes poses"
)
POSE_KEYS = ("frame", "end_effector", "state_topic", "rate")
"""Keys of a controller that only one of poses has."""
_QUATERNION = "a quaternion [x, y, z, w] of length 1: the orientation in the middle of its work"
_POSITION = "three numbers [x, y, z] [m] in the controller's frame"
_SLOWEST, _FASTEST, _USUAL = 10.0, 1000.0, 100.0  # [Hz] of the targets
_LEAST_ROTATION = 0.1  # [rad]
_FRAME = re.compile(r"[^\s/]\S*")  # tf2 has no frames that begin with a slash
_NO_TURN = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class PoseLimits:
    """What an arm's entry of `limits` says.

    rows: position_min, position_max, velocity, acceleration and jerk of its coordinates, (6, 5).
    """

    rows: np.ndarray
    chart: PoseChart
    max_rotation: float

    @property
    def prismatic(self) -> tuple[bool, ...]:
        """Which of the six coordinates are in m."""
        return tuple(not name.startswith("r") for name in COORDINATES)


def pose_arms(mapping: Mapping[str, Any]) -> tuple[str, ...]:
    """The entries of `joints` whose controller takes poses. Mistakes are found later, by the readers."""
    kinds = [each.value for each in ControllerType if each.takes_poses]
    controllers = mapping.get("controllers")
    groups = controllers.values() if isinstance(controllers, Mapping) else ()
    found: list[str] = []
    for each in groups:
        if isinstance(each, Mapping) and each.get("type") in kinds:
            joints = each.get("joints", ())
            found += [joint for joint in joints if isinstance(joint, str)] if _is_list(joints) else []
    return tuple(found)


def expanded(
    joints: Sequence[str], arms: Sequence[str], parts: Sequence[str] = COORDINATES
) -> tuple[str, ...]:
    """The joints, with the parts of a pose in the place of each arm: `arm.part`."""
    names: list[str] = []
    for joint in joints:
        names += [f"{joint}.{part}" for part in parts] if joint in arms else [joint]
    return tuple(names)


def read_pose_limits(entry: MappingReader, problems: Problems) -> PoseLimits:
    """The limits of an arm; reports mistakes to ``problems``."""
    low, high = entry.numbers("workspace_min", _POSITION, 3), entry.numbers("workspace_max", _POSITION, 3)
    for axis, least, most in zip(COORDINATES, low, high, strict=False):
        if least >= most:
            problems.add(
                entry.key("workspace_max"), f"{axis} above that of workspace_min = {least:g}", f"{most:g}"
            )
    expected = f"a number from {_LEAST_ROTATION:g} to {MAX_ROTATION:g} [rad]"
    rotation = entry.number("max_rotation", expected, lambda v: _LEAST_ROTATION <= v <= MAX_ROTATION)
    orientation = entry.numbers("orientation", _QUATERNION, 4)
    chart = _chart(entry, orientation, problems) if orientation else PoseChart(_NO_TURN)
    linear, angular = (_rates(entry, kind, unit) for kind, unit in (("linear", "m"), ("angular", "rad")))
    if turning_acceleration(angular[0]) * 2.0 > angular[1]:
        least = turning_acceleration(angular[0]) * 2.0
        problems.add(
            entry.key("angular_acceleration"),
            f"at least {least:.3g} [rad/s^2], because turning about a changing axis at "
            f"{angular[0]:g} rad/s may need half of that alone",
            f"{angular[1]:g}",
        )
    entry.report_unknown_keys()
    velocity, acceleration = axis_limits(linear, angular)
    rows = np.full((len(COORDINATES), 5), math.inf)
    rows[:3, 0] = low or math.nan
    rows[:3, 1] = high or math.nan
    rows[3:, 0], rows[3:, 1] = -rotation, rotation
    rows[:, 2], rows[:, 3] = velocity, acceleration
    return PoseLimits(rows, chart, rotation)


def read_pose_arm(
    entry: MappingReader, kind: str, joints: Sequence[str], node: str, limits: Mapping[str, PoseLimits],
    problems: Problems,
) -> PoseArm | None:  # fmt: skip
    """What a controller of poses says of its arm; None on a mistake.

    Args:
        entry: of the controller.
        kind: its type.
        joints: its `joints`: the one arm.
        node: its node, for the topic of the measured pose.
        limits: by arm.
        problems: takes the mistakes.
    """
    frame = entry.text(
        "frame", "the frame_id of its target poses, as 'base_link'", lambda text: bool(_FRAME.fullmatch(text))
    )
    end_effector = entry.optional_text("end_effector", "the link whose pose is commanded, as 'tool0'")
    expected = f"a number from {_SLOWEST:g} to {_FASTEST:g} [Hz]"
    rate = entry.number("rate", expected, lambda v: _SLOWEST <= v <= _FASTEST, default=_USUAL)
    topic = entry.optional_text("state_topic", "the topic of the measured pose (PoseStamped)")
    if not topic and kind == ControllerType.CARTESIAN_MOTION:
        topic = f"{node}/current_pose"
    if not is_topic(topic):
        problems.add(
            entry.key("state_topic"),
            f"the topic of the measured pose (geometry_msgs/PoseStamped), because {kind} publishes none",
            show(topic) if topic else "nothing (the key is missing)",
        )
    if len(joints) != 1:
        problems.add(
            entry.key("joints"), f"one name for the arm, because {kind} takes one pose", show(list(joints))
        )
        return None
    if joints[0] not in limits:
        return None  # a mistake that is reported already
    own = limits[joints[0]]
    return PoseArm(joints[0], frame, topic, rate, own.chart, own.max_rotation, end_effector)


def read_rest_pose(group: MappingReader, arm: PoseLimits, name: str, problems: Problems) -> tuple[float, ...]:
    """The coordinates of an arm's rest pose, given as position and quaternion; NaN on a mistake."""
    expected = "a pose within its limits: [x, y, z, qx, qy, qz, qw] [m]"
    numbers = group.numbers(name, expected, 7)
    if not numbers:
        return (math.nan,) * len(COORDINATES)
    try:
        pose = arm.chart.of_quaternion(np.array(numbers[:3]), np.array(numbers[3:]))  # (6,)
    except PoseError as error:
        problems.add(group.key(name), expected, str(error))
        return (math.nan,) * len(COORDINATES)
    low, high = arm.rows[:, 0], arm.rows[:, 1]  # (6,) both
    if (pose < low).any() or (pose > high).any() or PoseChart.turned(pose) > arm.max_rotation:
        problems.add(group.key(name), expected, show(list(numbers)))
    return tuple(pose.tolist())


def _chart(entry: MappingReader, orientation: Sequence[float], problems: Problems) -> PoseChart:
    try:
        return PoseChart((orientation[0], orientation[1], orientation[2], orientation[3]))
    except PoseError:
        problems.add(entry.key("orientation"), _QUATERNION, show(list(orientation)))
        return PoseChart(_NO_TURN)


def _rates(entry: MappingReader, kind: str, unit: str) -> tuple[float, float]:
    """Velocity and acceleration."""
    velocity = entry.number(f"{kind}_velocity", f"a number above 0 [{unit}/s]", lambda v: v > 0.0)
    return velocity, entry.number(f"{kind}_acceleration", f"a number above 0 [{unit}/s^2]", lambda v: v > 0.0)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
