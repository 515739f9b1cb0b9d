# SPDX-License-Identifier: Apache-2.0
"""The ROS domain and the environment variables of a session's nodes."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

import dit_policy_ros
from dit_policy_ros.evaluation.session._occupants import refuse_occupied_domain
from dit_policy_ros.evaluation.session._ros_domain import claimed_domain

_DOMAIN, _RANGE = "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"
# By these, participants find each other beyond this machine or in spite of their domain.
_BRIDGES = ("ROS_STATIC_PEERS", "ROS_DISCOVERY_SERVER", "ROS_SUPER_CLIENT", "ROS_LOCALHOST_ONLY")


@contextlib.contextmanager
def ros_environment(logs: Path, domain: int | None = None) -> Iterator[dict[str, str]]:
    """Yields the nodes' environment; rclpy is initialised in the same ROS domain while the block runs.

    Discovery is limited to this machine, whatever ROS variables the user has set: simulated nodes must not
    meet a real robot.

    Args:
        logs: folder for ROS's log files.
        domain: the ROS domain to join, with the user's own discovery settings if there are any. None: one
            that nobody uses, also if ROS_DOMAIN_ID is set.

    Raises:
        SessionError: a robot, or a node as this program starts them, is in the domain already.
    """
    with contextlib.ExitStack() as stack:
        if domain is None:
            changes: dict[str, str | None] = {_DOMAIN: str(stack.enter_context(claimed_domain()))}
            changes |= {_RANGE: "LOCALHOST", **dict.fromkeys(_BRIDGES)}
        else:
            changes = {_DOMAIN: str(domain)}
            if not any(os.environ.get(name) for name in (_RANGE, *_BRIDGES)):
                changes[_RANGE] = "LOCALHOST"
        stack.enter_context(_changed_variables(changes | {"ROS_LOG_DIR": str(logs)}))
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        refuse_occupied_domain(has_joined=domain is not None)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        source = str(Path(dit_policy_ros.__file__).parents[1])  # the nodes run from this program's tree
        environment["PYTHONPATH"] = os.pathsep.join(p for p in (source, os.environ.get("PYTHONPATH")) if p)
        yield environment


@contextlib.contextmanager
def _changed_variables(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Environment variables of this process while the block runs; None removes one."""
    before = {name: os.environ.get(name) for name in changes}

    def apply(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    apply(changes)
    try:
        yield
    finally:
        apply(before)
