# SPDX-License-Identifier: Apache-2.0
"""The description of one ROS parameter, and the table of the robot contract's parameters."""

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
    list: "a list of numbers",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a node.

    name: dots separate groups. In the contract's table <...> matches any one name.
    kind: bool, int, float, str, or tuple for a list of texts (with at least one entry).
    low, high: inclusive bounds in `unit`; None is unbounded. choices: the allowed texts; empty allows all.
    fixed: cannot be changed while the node is configured, because it was read at configure.
    former_name: name in earlier versions; a value given under it is refused with the new name.
    """

    name: str
    kind: type
    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    fixed: bool = False
    former_name: str = ""

    @property
    def constraint(self) -> str:
        """The accepted values, in words."""
        if self.choices:
            return f"one of: {listing(self.choices)}"
        unit = f" [{self.unit}]" if self.unit else ""
        low, high = (None if bound is None else self._number(bound) for bound in (self.low, self.high))
        bounds = ""
        if low is not None and high is not None:
            bounds = f" from {low} to {high}"
        elif low is not None:
            bounds = f" of at least {low}"
        elif high is not None:
            bounds = f" of at most {high}"
        return f"{_KINDS[self.kind]}{bounds}{unit}"

    def _number(self, bound: float) -> str:
        return f"{int(bound)}" if self.kind is int else f"{bound:g}"

    def problem(self, value: Any) -> str | None:
        """The accepted values if `value` is not one of them, else None. Floats also accept whole numbers."""
        return None if self._accepts(value) else self.constraint

    def convert(self, value: Any) -> Any:
        """Converts an accepted value to this parameter's type."""
        return [float(each) for each in value] if self.kind is list else self.kind(value)

    def matches(self, name: str) -> bool:
        """Whether `name` is this parameter's full name, with any name in place of each <...>."""
        pattern = re.sub(r"<\w+>", "[^.]+", self.name.replace(".", r"\."))
        return re.fullmatch(pattern, name) is not None

    def _accepts(self, value: Any) -> bool:
        if self.kind is tuple:
            return isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value)
        if self.kind is list:
            return isinstance(value, list | tuple) and all(
                isinstance(each, int | float) and not isinstance(each, bool) for each in value
            )
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
    return Parameter(name, kind, None, description, unit, fixed=True)


# For `ros2 param describe`. The contract's parser alone decides which values are valid.
CONTRACT_PARAMETERS = (
    _of_contract("robot_type", str, "robot type; stored in datasets"),
    _of_contract("fps", float, "rate of observations and actions, for datasets and policy", "Hz"),
    _of_contract("joints", tuple, "order of the joints in the state and action vectors"),
    _of_contract(
        "robot_names",
        tuple,
        "what the robot calls its joints, and their units, where they are not the contract's: "
        "'JOINT = ROBOT_NAME * SCALE + OFFSET' each, as 'left_gripper = left_finger * 0.001'",
    ),
    _of_contract("joint_states.topic", str, "topic of sensor_msgs/JointState"),
    _of_contract(
        "joint_states.topics", tuple, "its topics, if they are several; each has some of the joints"
    ),
    _of_contract(
        "joint_states.prefixes",
        tuple,
        "by topic, what is put before the names in its messages; default: none",
    ),
    _of_contract("joint_states.max_age", float, "a joint whose newest state is older is stale", "s"),
    _of_contract(
        "joint_states.fps", float, "rate of the slowest joint; default: the contract's fps or more", "Hz"
    ),
    _of_contract("cameras.names", tuple, "names of the cameras; each has its own group"),
    _of_contract("cameras.<camera>.topic", str, "topic of sensor_msgs/Image or CompressedImage"),
    _of_contract("cameras.<camera>.height", int, "image height; other sizes are resized to it", "pixel"),
    _of_contract("cameras.<camera>.width", int, "image width; other sizes are resized to it", "pixel"),
    _of_contract("cameras.<camera>.max_age", float, "older images are stale", "s"),
    _of_contract("cameras.<camera>.fps", float, "its rate, if it is lower than the contract's fps", "Hz"),
    _of_contract("cameras.<camera>.latency", float, "time from the exposure of an image to its stamp", "s"),
    _of_contract("cameras.<camera>.latency_uncertainty", float, "half the latency's 95 % interval", "s"),
    _of_contract("cameras.<camera>.compressed", bool, "the topic carries sensor_msgs/CompressedImage"),
    _of_contract("cameras.<camera>.kind", str, "color (default), or depth: its images hold distances"),
    _of_contract("cameras.<camera>.depth_unit", str, "of a depth camera: mm (16UC1) or m (32FC1)"),
    _of_contract(
        "cameras.<camera>.trained_as", str, "its name in the policy's training data; default: the same"
    ),
    _of_contract("rest_pose.<joint>", float, "where ~/home moves the joint; optional", "rad or m"),
    _of_contract("vectors.names", tuple, "names of further observed vectors; each has its own group"),
    _of_contract("vectors.<vector>.topic", str, "topic of the vector; the joint states' own is possible"),
    _of_contract("vectors.<vector>.type", str, "type of its messages, as geometry_msgs/msg/WrenchStamped"),
    _of_contract("vectors.<vector>.max_age", float, "older samples are stale", "s"),
    _of_contract("vectors.<vector>.field", str, "of a JointState: position, velocity or effort"),
    _of_contract("vectors.<vector>.entries", tuple, "names of its entries; default: all of the message"),
    _of_contract("vectors.<vector>.size", int, "number of values of an array whose entries have no names"),
    _of_contract(
        "vectors.<vector>.trained_as", str, "its name in the policy's training data; default: the same"
    ),
    _of_contract(
        "dataset_names",
        tuple,
        "what the entries of the policy's training data are, where they have not the joints' names and "
        "units: 'NAME = JOINT * SCALE + OFFSET' each, as 'left_waist.pos = left_waist * 57.29578'",
    ),
    _of_contract("controllers.names", tuple, "names of the controllers; each has its own group"),
    _of_contract("controllers.<controller>.type", str, "type of ros2_control controller"),
    _of_contract(
        "controllers.<controller>.joints", tuple, "joints that the controller commands; one arm, if by poses"
    ),
    _of_contract("controllers.<controller>.frame", str, "frame_id of its target poses"),
    _of_contract("controllers.<controller>.end_effector", str, "link whose pose it commands"),
    _of_contract(
        "controllers.<controller>.state_topic",
        str,
        "topic of the measured pose; default of a cartesian_motion_controller: <its node>/current_pose",
    ),
    _of_contract("controllers.<controller>.rate", float, "how often a target pose is published", "Hz"),
    _of_contract("controllers.<controller>.gripper", bool, "the controller moves a gripper"),
    _of_contract(
        "controllers.<controller>.node",
        str,
        "the controller's node, as /follower_left/arm_controller; default: its name, in the node's namespace",
    ),
    _of_contract(
        "controllers.<controller>.topic",
        str,
        "topic on which it takes commands; default: <its node>/joint_trajectory, of poses <its "
        "node>/target_frame (cartesian_motion_controller) or pose_target_cmds (moveit_servo)",
    ),
    _of_contract(
        "controllers.<controller>.joint_names",
        tuple,
        "the joints' names in the controller's messages, in the order of 'joints', with ' * SCALE + OFFSET' "
        "where its unit is another; default: as in the joint states",
    ),
    _of_contract(
        "controllers.<controller>.latency",
        float,
        "how far the joint states lag behind the commands, see the policy node's parameter actions",
        "s",
    ),
    _of_contract("controllers.<controller>.latency_uncertainty", float, "half its 95 % interval", "s"),
    _of_contract(
        "urdf", str, "URDF file (a path, or package://NAME/FILE) with the limits not given here; optional"
    ),
    _of_contract(
        "limits.<joint>.continuous",
        bool,
        "the joint turns without end and needs no position limits",
    ),
    _of_contract(
        "limits.<joint>.prismatic",
        bool,
        "the joint slides: its unit is the metre, and the policy node's thresholds that end in _prismatic "
        "apply; default: as the URDF says, else false",
    ),
    _of_contract("limits.<joint>.position_min", float, "lowest commanded position", "rad or m"),
    _of_contract("limits.<joint>.position_max", float, "highest commanded position", "rad or m"),
    _of_contract("limits.<joint>.velocity", float, "highest commanded speed", "rad/s or m/s"),
    _of_contract("limits.<joint>.acceleration", float, "highest commanded acceleration", "rad/s^2 or m/s^2"),
    _of_contract(
        "limits.<joint>.jerk", float, "highest change of acceleration; optional", "rad/s^3 or m/s^3"
    ),
    _of_contract("limits.<arm>.workspace_min", list, "smallest x, y and z of its end effector", "m"),
    _of_contract("limits.<arm>.workspace_max", list, "largest x, y and z of its end effector", "m"),
    _of_contract(
        "limits.<arm>.orientation",
        list,
        "quaternion x, y, z, w in the middle of what the end effector does",
    ),
    _of_contract("limits.<arm>.max_rotation", float, "how far it may turn from that orientation", "rad"),
    _of_contract("limits.<arm>.linear_velocity", float, "highest speed of the end effector", "m/s"),
    _of_contract("limits.<arm>.linear_acceleration", float, "highest acceleration of it", "m/s^2"),
    _of_contract("limits.<arm>.angular_velocity", float, "highest speed at which it turns", "rad/s"),
    _of_contract("limits.<arm>.angular_acceleration", float, "highest change of that", "rad/s^2"),
)

# What the names of the contract's parameters begin with.
CONTRACT_GROUPS = tuple(sorted({pattern.name.split(".")[0] for pattern in CONTRACT_PARAMETERS}))
