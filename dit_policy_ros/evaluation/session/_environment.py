# SPDX-License-Identifier: Apache-2.0
"""The environment variables of a session's nodes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

import dit_policy_ros
from dit_policy_ros.evaluation.session._ros_domain import claimed_domain


@contextlib.contextmanager
def ros_environment(logs: Path) -> Iterator[dict[str, str]]:
    """Yields the nodes' environment; rclpy is initialised in the same ROS domain while the block runs.

    If the user set ROS_DOMAIN_ID, that domain is used. Otherwise a free one is claimed, and discovery is
    limited to this machine.
    """
    environment = {**os.environ, "ROS_LOG_DIR": str(logs), "PYTHONUNBUFFERED": "1"}
    source = str(Path(dit_policy_ros.__file__).parents[1])  # the nodes run from the same tree as this program
    environment["PYTHONPATH"] = os.pathsep.join(p for p in (source, os.environ.get("PYTHONPATH")) if p)
    with contextlib.ExitStack() as stack:
        if "ROS_DOMAIN_ID" not in os.environ:
            environment["ROS_DOMAIN_ID"] = str(stack.enter_context(claimed_domain()))
            environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        own = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR")
        os.environ.update({name: environment[name] for name in own if name in environment})
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        yield environment
