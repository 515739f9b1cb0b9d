# SPDX-License-Identifier: Apache-2.0
"""The joint limits that a URDF states."""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from dit_policy_ros.core.errors import ContractError


@dataclass(frozen=True, slots=True)
class UrdfJoint:
    """Limits of a joint: position [rad or m], infinite where it is continuous, and velocity [rad/s or m/s].

    None where the URDF does not say.
    """

    position_min: float | None
    position_max: float | None
    velocity: float | None

    @property
    def continuous(self) -> bool:
        """Whether the joint turns without end."""
        return self.position_max == math.inf


def read_urdf(path: Path) -> dict[str, UrdfJoint]:
    """The joints that move, by name.

    Raises:
        ContractError: the file cannot be read, or is no URDF.
    """
    try:
        robot = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ContractError(f"{path} cannot be read as a URDF: {error}") from error
    if robot.tag != "robot":
        raise ContractError(
            f"{path} is no URDF: its root is <{robot.tag}> instead of <robot>; run xacro on it first"
        )
    return {
        joint.get("name", ""): _joint(joint, path)
        for joint in robot.findall("joint")
        if joint.get("type") in ("revolute", "prismatic", "continuous")
    }


def _joint(joint: ElementTree.Element, path: Path) -> UrdfJoint:
    limit = joint.find("limit")
    stated = {} if limit is None else limit.attrib

    def number(name: str) -> float | None:
        try:
            return float(stated[name]) if name in stated else None
        except ValueError as error:
            raise ContractError(
                f"{path}: {name} of joint {joint.get('name')} is no number: {error}"
            ) from error

    if joint.get("type") == "continuous":
        return UrdfJoint(-math.inf, math.inf, number("velocity"))
    return UrdfJoint(number("lower"), number("upper"), number("velocity"))
