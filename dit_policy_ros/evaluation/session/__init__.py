# SPDX-License-Identifier: Apache-2.0
"""Nodes as child processes in a ROS domain of their own, driven through their interfaces."""

from dit_policy_ros.evaluation.session._interrupts import held_interrupts
from dit_policy_ros.evaluation.session._ros_domain import claimed_domain
from dit_policy_ros.evaluation.session._session import (
    Session,
    SessionError,
    config_path,
    ros_environment,
    running_nodes,
    running_session,
)

__all__ = [
    "Session",
    "SessionError",
    "claimed_domain",
    "config_path",
    "held_interrupts",
    "ros_environment",
    "running_nodes",
    "running_session",
]
