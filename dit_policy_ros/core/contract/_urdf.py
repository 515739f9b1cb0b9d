# SPDX-License-Identifier: Apache-2.0
"""Reads joint limits from a URDF."""

import os
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from dit_policy_ros.core.errors import ContractError

_PACKAGE = "package://"


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


def find_urdf(path: str) -> Path:
    """The file that a path means: ~ is the home folder, package://NAME/FILE a file of an installed package.

    Raises:
        ContractError: no installed package has this file.
    """
    if not path.startswith(_PACKAGE):
        return Path(path).expanduser()
    name, _, file = path.removeprefix(_PACKAGE).partition("/")
    prefixes = [prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    for prefix in prefixes:
        if (found := Path(prefix) / "share" / name / file).is_file():
            return found
    raise ContractError(
        f"{path}: no installed package {name!r} has this file; looked in {', '.join(prefixes) or 'nothing'} "
        "(AMENT_PREFIX_PATH). Source the workspace with that package, or give the file's path"
    )


def read_urdf(path: Path) -> dict[str, UrdfJoint]:
    """The limits of all movable joints, by name.

    Raises:
        ContractError: the file cannot be read or is not a URDF.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path} cannot be read as a URDF: {error}") from error
    return parse_urdf(text, str(path))


def parse_urdf(text: bytes | str, path: str) -> dict[str, UrdfJoint]:
    """The limits of all movable joints, by name. path: where the text comes from, for messages.

    Raises:
        ContractError: the text is not a URDF.
    """
    try:
        robot = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ContractError(f"{path} cannot be read as a URDF: {error}") from error
    if robot.tag != "robot":
        raise ContractError(
            f"{path} is not a URDF: its root is <{robot.tag}> instead of <robot>; run xacro on it first"
        )
    joints: dict[str, UrdfJoint] = {}
    for joint in robot.findall("joint"):
        if joint.get("type") not in ("revolute", "prismatic", "continuous"):
            continue
        name = joint.get("name", "")
        if name in joints:
            raise ContractError(f"{path} has two joints named {name!r}: nobody can say whose limits count")
        joints[name] = _joint(joint, path)
    return joints


def _joint(joint: ElementTree.Element, path: str) -> UrdfJoint:
    limit = joint.find("limit")
    attributes = {} if limit is None else limit.attrib

    def number(name: str) -> float | None:
        try:
            if "_" in attributes.get(name, ""):  # a number to Python alone
                raise ValueError(repr(attributes[name]))
            return float(attributes[name]) if name in attributes else None
        except ValueError as error:
            raise ContractError(
                f"{path}: {name} of joint {joint.get('name')} is not a number: {error}"
            ) from error

    if joint.get("type") == "continuous":
        return UrdfJoint(None, None, number("velocity"), prismatic=False, continuous=True)
    prismatic = joint.get("type") == "prismatic"
    return UrdfJoint(number("lower"), number("upper"), number("velocity"), prismatic)
