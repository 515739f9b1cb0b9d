# SPDX-License-Identifier: Apache-2.0
"""Code that all nodes share: parameters, lifecycle, executor, QoS, sensor streams and message conversions."""

from dit_policy_ros.ros.common._command_line import ros_arguments
from dit_policy_ros.ros.common._command_listener import listen_to_commands
from dit_policy_ros.ros.common._command_messages import commanded_trajectory
from dit_policy_ros.ros.common._convert import (
    JointStateConverter,
    JointStateReader,
    array_values,
    stamp_ns,
    to_stamp,
)
from dit_policy_ros.ros.common._event_log import EventLog, Severity
from dit_policy_ros.ros.common._health import Health
from dit_policy_ros.ros.common._lifecycle import FOLLOW_PARENT, GuardedLifecycleNode, run_node
from dit_policy_ros.ros.common._node_help import answer_arguments
from dit_policy_ros.ros.common._parameter_sources import (
    file_parameters,
    is_value,
    resolved_parameters,
    text_problem,
)
from dit_policy_ros.ros.common._parameter_table import CONTRACT_GROUPS, CONTRACT_PARAMETERS, Parameter
from dit_policy_ros.ros.common._parameters import (
    configuration_source,
    declare_parameters,
    has_contract,
    read_parameters,
    read_settings,
)
from dit_policy_ros.ros.common._resources import Resources
from dit_policy_ros.ros.common._scheduling import (
    PatientExecutor,
    UnwatchedGroup,
    lower_thread_priority,
    raise_thread_priority,
    silent_clock,
    steady_timer,
    take_messages,
)
from dit_policy_ros.ros.common._sensor_streams import SensorSettings, SensorStreams
from dit_policy_ros.ros.images import image_to_rgb

__all__ = [
    "CONTRACT_GROUPS",
    "CONTRACT_PARAMETERS",
    "FOLLOW_PARENT",
    "EventLog",
    "GuardedLifecycleNode",
    "Health",
    "JointStateConverter",
    "JointStateReader",
    "Parameter",
    "PatientExecutor",
    "Resources",
    "SensorSettings",
    "SensorStreams",
    "Severity",
    "UnwatchedGroup",
    "answer_arguments",
    "array_values",
    "commanded_trajectory",
    "configuration_source",
    "declare_parameters",
    "file_parameters",
    "has_contract",
    "image_to_rgb",
    "is_value",
    "listen_to_commands",
    "lower_thread_priority",
    "raise_thread_priority",
    "read_parameters",
    "read_settings",
    "resolved_parameters",
    "ros_arguments",
    "run_node",
    "silent_clock",
    "stamp_ns",
    "steady_timer",
    "take_messages",
    "text_problem",
    "to_stamp",
]
