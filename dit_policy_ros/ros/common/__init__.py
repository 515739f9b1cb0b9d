# SPDX-License-Identifier: Apache-2.0
"""Code that all nodes share: parameters, lifecycle, executor, QoS, sensor streams and message conversions."""

from dit_policy_ros.ros.common._command_listener import listen_to_commands
from dit_policy_ros.ros.common._convert import (
    JointStateConverter,
    array_values,
    image_to_rgb,
    stamp_ns,
    to_stamp,
)
from dit_policy_ros.ros.common._event_log import EventLog, Severity
from dit_policy_ros.ros.common._health import Health
from dit_policy_ros.ros.common._lifecycle import FOLLOW_PARENT, GuardedLifecycleNode, run_node
from dit_policy_ros.ros.common._node_help import print_help_if_asked
from dit_policy_ros.ros.common._parameter_table import Parameter
from dit_policy_ros.ros.common._parameters import (
    configuration_source,
    declare_parameters,
    read_parameters,
    read_settings,
)
from dit_policy_ros.ros.common._scheduling import (
    UnwatchedGroup,
    lower_thread_priority,
    set_gil_switch_interval,
    steady_timer,
    take_messages,
)
from dit_policy_ros.ros.common._sensor_streams import SensorSettings, SensorStreams
from dit_policy_ros.ros.common._transport import profile_environment

__all__ = [
    "FOLLOW_PARENT",
    "EventLog",
    "GuardedLifecycleNode",
    "Health",
    "JointStateConverter",
    "Parameter",
    "SensorSettings",
    "SensorStreams",
    "Severity",
    "UnwatchedGroup",
    "array_values",
    "configuration_source",
    "declare_parameters",
    "image_to_rgb",
    "listen_to_commands",
    "lower_thread_priority",
    "print_help_if_asked",
    "profile_environment",
    "read_parameters",
    "read_settings",
    "run_node",
    "set_gil_switch_interval",
    "stamp_ns",
    "steady_timer",
    "take_messages",
    "to_stamp",
]
