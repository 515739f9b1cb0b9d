# SPDX-License-Identifier: Apache-2.0
"""What the nodes' parameters say about the robot: cameras, joints and limits."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.parameter import parameter_value_to_python

from dit_policy_ros.core.contract import JointMapping, JointStateTopic, parse_mapping
from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.evaluation.consoles import Answer, ServiceCalls

_GROUPS = ("cameras", "joints", "joint_states", "limits", "robot_names")
_WANTED = re.compile(
    r"cameras\.names|cameras\..+\.topic|joints|joint_states\.(topics?|prefixes)|robot_names|limits\..+\.position_(min|max)"
)


@dataclass(frozen=True, slots=True)
class RobotFacts:
    """What a panel shows.

    cameras: topic by name. joint_states: its topics. robot_names: what they call the joints, and their units.
    limits: lowest and highest position [rad or m] by joint; NaN if the parameters do not give it.
    """

    cameras: dict[str, str]
    joints: tuple[str, ...]
    joint_states: tuple[JointStateTopic, ...]
    robot_names: JointMapping
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)


class FactsReader:
    """Asks a node which parts of the robot's contract it has, and then for them.

    Args:
        calls: of services.
        on_facts: gets the facts once.
    """

    def __init__(self, calls: ServiceCalls, on_facts: Callable[[RobotFacts], None]) -> None:
        self._calls = calls
        self._on_facts = on_facts
        self._node = ""
        self.is_asking = False

    def ask(self, node: str) -> None:
        """Begin with a node that publishes its status, by its full name; a former attempt is given up."""
        self._node, self.is_asking = node, True
        request = ListParameters.Request(prefixes=list(_GROUPS))
        self._calls.call(ListParameters, f"{node}/list_parameters", request, self._on_names)

    def _on_names(self, answer: Answer) -> None:
        """Ask for those that there are: rclpy gives no value at all if one is missing."""
        names = () if answer.response is None else answer.response.result.names
        wanted = [name for name in names if _WANTED.fullmatch(name)]
        if not wanted:
            self.is_asking = False
            return

        def on_values(answer: Answer) -> None:
            self.is_asking = False
            values = () if answer.response is None else answer.response.values
            if len(values) == len(wanted):
                given = zip(wanted, map(parameter_value_to_python, values), strict=True)
                self._on_facts(
                    _facts({name: value for name, value in given if value is not None}, self._node)
                )

        request = GetParameters.Request(names=wanted)
        self._calls.call(GetParameters, f"{self._node}/get_parameters", request, on_values)


def _facts(values: dict[str, Any], node: str) -> RobotFacts:
    """The facts from a node's parameters that have a value."""
    namespace = node.rpartition("/")[0]

    def absolute(topic: str) -> str:
        return topic if topic.startswith("/") else f"{namespace}/{topic}"

    joints = tuple(values.get("joints", ()))
    topics = values.get("joint_states.topics") or [values.get("joint_states.topic", "joint_states")]
    prefixes = values.get("joint_states.prefixes") or [""] * len(topics)

    def bound(joint: str, end: str) -> float:
        return float(values.get(f"limits.{joint}.position_{end}", math.nan))

    limits = {joint: (bound(joint, "min"), bound(joint, "max")) for joint in joints}
    cameras = {
        name: absolute(values[f"cameras.{name}.topic"])
        for name in values.get("cameras.names", ())
        if f"cameras.{name}.topic" in values
    }
    states = tuple(
        JointStateTopic(absolute(topic), prefix) for topic, prefix in zip(topics, prefixes, strict=False)
    )
    try:
        mapping = parse_mapping(values.get("robot_names", ()), joints, "robot_names")
    except ParameterError:  # the node will say so at configure
        mapping = parse_mapping((), joints, "")
    return RobotFacts(cameras, joints, states, mapping, limits)
