# SPDX-License-Identifier: Apache-2.0
"""Turns the messages of a leader arm or of a command topic into positions of the robot's joints."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from dit_policy_ros.core.contract import JointMapping
from dit_policy_ros.ros.common import JointStateConverter, array_values

LEADER, COMMAND, ARRAY, TRAJECTORY = "leader", "joint_state", "array", "trajectory"


def positions_from(source: str, mapping: JointMapping) -> tuple[type, Callable[[Any], np.ndarray]]:
    """The message type of a source, and what turns a message into positions (D,) [rad or m].

    The latter raises StreamError for a message that lacks a joint or has a value that is not finite.

    Args:
        source: LEADER or COMMAND (sensor_msgs/JointState), or ARRAY (std_msgs/Float64MultiArray).
        mapping: of the robot's joints.
    """
    if source == ARRAY:
        indices = [
            int(name) if name.isdecimal() else index for index, name in enumerate(mapping.sources)
        ]  # the source if it is a number, else the joint's index
        return Float64MultiArray, lambda message: mapping(array_values(message, indices))
    convert = JointStateConverter(mapping.sources)
    return JointState, lambda message: mapping(convert(message))
