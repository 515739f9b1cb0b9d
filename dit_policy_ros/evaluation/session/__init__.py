# SPDX-License-Identifier: Apache-2.0
"""Nodes as child processes in a ROS domain of their own, used through their ROS interfaces."""

from dit_policy_ros.evaluation.session._cpu_time import CpuTimer, cpu_seconds, processes
from dit_policy_ros.evaluation.session._environment import ros_environment
from dit_policy_ros.evaluation.session._interrupts import deferred_interrupts
from dit_policy_ros.evaluation.session._nodes import (
    LOOKED_ALREADY,
    STOPS_WITHIN,
    NodeCommand,
    config_path,
    running_nodes,
    running_session,
    session_commands,
)
from dit_policy_ros.evaluation.session._ros_domain import claimed_domain
from dit_policy_ros.evaluation.session._session import (
    MESSAGE_WITHIN,
    Session,
    SessionError,
)

__all__ = [
    "LOOKED_ALREADY",
    "MESSAGE_WITHIN",
    "STOPS_WITHIN",
    "CpuTimer",
    "NodeCommand",
    "Session",
    "SessionError",
    "claimed_domain",
    "config_path",
    "cpu_seconds",
    "deferred_interrupts",
    "processes",
    "ros_environment",
    "running_nodes",
    "running_session",
    "session_commands",
]
