# SPDX-License-Identifier: Apache-2.0
"""What several nodes share: parameters, lifecycle, executor, QoS, streams and conversions."""

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
from dit_policy_ros.ros.common._lifecycle import GuardedLifecycleNode, run_node
from dit_policy_ros.ros.common._node_help import print_help_if_asked
from dit_policy_ros.ros.common._parameter_table import Parameter
from dit_policy_ros.ros.common._parameters import (
    configuration_source,
    declare_parameters,
    read_parameters,
    read_settings,
)
from dit_policy_ros.ros.common._priority import let_others_go_first, take_short_turns
from dit_policy_ros.ros.common._sensor_streams import SensorStreams
from dit_policy_ros.ros.common._timers import steady_timer
from dit_policy_ros.ros.common._transport import profile_environment

__all__ = [
    "EventLog",
    "GuardedLifecycleNode",
    "Health",
    "JointStateConverter",
    "Parameter",
    "SensorStreams",
    "Severity",
    "array_values",
    "configuration_source",
    "declare_parameters",
    "image_to_rgb",
    "let_others_go_first",
    "listen_to_commands",
    "print_help_if_asked",
    "profile_environment",
    "read_parameters",
    "read_settings",
    "run_node",
    "stamp_ns",
    "steady_timer",
    "take_short_turns",
    "to_stamp",
]
