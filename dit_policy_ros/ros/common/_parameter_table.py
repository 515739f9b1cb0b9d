# SPDX-License-Identifier: Apache-2.0
"""What is known of one parameter, and the table of those that make up the robot contract."""

import math
import re
from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.problems import listing

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of texts",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a node.

    kind: bool, int, float, str, or tuple for a list of texts (with at least one entry).
    low, high: inclusive bounds in `unit`; None is unbounded. choices: the only texts allowed, if any.
    read_only: cannot be changed once the node runs. In the contract's table <name> stands for any name.
    """

    name: str
    kind: type
    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False
    former_name: str = ""

    @property
    def constraint(self) -> str:
        """What values are accepted, in words."""
        if self.choices:
            return f"one of: {listing(self.choices)}"
        unit = f" [{self.unit}]" if self.unit else ""
        bounds = ""
        if self.low is not None and self.high is not None:
            bounds = f" from {self.low:g} to {self.high:g}"
        elif self.low is not None:
            bounds = f" of at least {self.low:g}"
        elif self.high is not None:
            bounds = f" of at most {self.high:g}"
        return f"{_KINDS[self.kind]}{bounds}{unit}"

    def problem(self, value: Any) -> str | None:
        """What was expected, if the value is not that; None if it is. Whole numbers may stand for floats."""
        return None if self._accepts(value) else self.constraint

    def convert(self, value: Any) -> Any:
        """An accepted value as this parameter's type."""
        return self.kind(value)

    def matches(self, name: str) -> bool:
        """Whether a parameter's full name is this one's, with any name for each <...>."""
        pattern = re.sub(r"<\w+>", "[^.]+", self.name.replace(".", r"\."))
        return re.fullmatch(pattern, name) is not None

    def _accepts(self, value: Any) -> bool:
        if self.kind is tuple:
            return isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value)
        if self.kind is str:
            return isinstance(value, str) and (not self.choices or value in self.choices)
        if self.kind is bool:
            return isinstance(value, bool)
        if isinstance(value, bool) or not isinstance(value, int if self.kind is int else int | float):
            return False
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return math.isfinite(value) and low <= value <= high


def _of_contract(name: str, kind: type, description: str, unit: str = "") -> Parameter:
    return Parameter(name, kind, None, description, unit, read_only=True)


# For `ros2 param describe`; what is valid is decided by the contract's parser alone.
CONTRACT_PARAMETERS = (
    _of_contract("robot_type", str, "kind of robot, written into datasets"),
    _of_contract("fps", float, "rate of observations and actions, of datasets and policy", "Hz"),
    _of_contract("joints", tuple, "order of the joints in the state and action vectors"),
    _of_contract("joint_states.topic", str, "topic of sensor_msgs/JointState"),
    _of_contract("joint_states.max_age", float, "older joint states are stale", "s"),
    _of_contract("cameras.names", tuple, "names of the cameras; each has a group of its own"),
    _of_contract("cameras.<camera>.topic", str, "topic of sensor_msgs/Image, or CompressedImage"),
    _of_contract("cameras.<camera>.height", int, "height that images are resized to", "pixel"),
    _of_contract("cameras.<camera>.width", int, "width that images are resized to", "pixel"),
    _of_contract("cameras.<camera>.max_age", float, "older images are stale", "s"),
    _of_contract("cameras.<camera>.latency", float, "how long before its stamp an image was exposed", "s"),
    _of_contract("cameras.<camera>.compressed", bool, "whether the topic is of sensor_msgs/CompressedImage"),
    _of_contract("controllers.names", tuple, "names of the controllers; each has a group of its own"),
    _of_contract("controllers.<controller>.type", str, "kind of ros2_control controller"),
    _of_contract("controllers.<controller>.joints", tuple, "joints that the controller owns"),
    _of_contract("controllers.<controller>.gripper", bool, "whether the controller moves a gripper"),
    _of_contract("urdf", str, "path of a URDF file, for limits that are not given here; optional"),
    _of_contract("limits.<joint>.continuous", bool, "whether it turns without end, which needs no limits"),
    _of_contract("limits.<joint>.position_min", float, "lowest commanded position", "rad or m"),
    _of_contract("limits.<joint>.position_max", float, "highest commanded position", "rad or m"),
    _of_contract("limits.<joint>.velocity", float, "highest commanded speed", "rad/s or m/s"),
    _of_contract("limits.<joint>.acceleration", float, "highest commanded acceleration", "rad/s^2 or m/s^2"),
    _of_contract(
        "limits.<joint>.jerk", float, "highest change of acceleration; optional", "rad/s^3 or m/s^3"
    ),
)
