# SPDX-License-Identifier: Apache-2.0
"""Reads joint limits from a URDF."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from dit_policy_ros.core.errors import ContractError


@dataclass(frozen=True, slots=True)
class UrdfJoint:
    """Limits of a joint as the file has them: position [rad or m] and velocity [rad/s or m/s].

    None if the URDF has none. The values are not checked, except that they are numbers.

    continuous: it turns without end, so that its position limits mean nothing.
    prismatic: whether the joint slides; None if unknown.
    """

    position_min: float | None
    position_max: float | None
    velocity: float | None
    prismatic: bool | None = None
    continuous: bool = False


def read_urdf(path: Path) -> dict[str, UrdfJoint]:
    """The limits of all movable joints, by name.

    Raises:
        ContractError: the file cannot be read or is not a URDF.
    """
    try:
        robot = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ContractError(f"{path} cannot be read as a URDF: {error}") from error
    if robot.tag != "robot":
        raise ContractError(
            f"{path} is not a URDF: its root is <{robot.tag}> instead of <robot>; run xacro on it first"
        )
    return {
        joint.get("name", ""): _joint(joint, path)
        for joint in robot.findall("joint")
        if joint.get("type") in ("revolute", "prismatic", "continuous")
    }


def _joint(joint: ElementTree.Element, path: Path) -> UrdfJoint:
    limit = joint.find("limit")
    attributes = {} if limit is None else limit.attrib

    def number(name: str) -> float | None:
        try:
            return float(attributes[name]) if name in attributes else None
        except ValueError as error:
            raise ContractError(
                f"{path}: {name} of joint {joint.get('name')} is not a number: {error}"
            ) from error

    if joint.get("type") == "continuous":
        return UrdfJoint(None, None, number("velocity"), prismatic=False, continuous=True)
    prismatic = joint.get("type") == "prismatic"
    return UrdfJoint(number("lower"), number("upper"), number("velocity"), prismatic)
