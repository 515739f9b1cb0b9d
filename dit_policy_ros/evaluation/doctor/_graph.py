# SPDX-License-Identifier: Apache-2.0
"""Checks of ROS itself: middleware, profile, domain and who else is in it."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping

from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

from dit_policy_ros.core.transport_profile import OLD_PROFILE, PROFILE
from dit_policy_ros.evaluation.doctor._findings import Finding, note, ok, warning
from dit_policy_ros.ros.graph import full_name

_FAST_DDS = "rmw_fastrtps_cpp"
_SHOWN = 12  # names of nodes


def middleware(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """The ROS release, the middleware and its profile."""
    release = environment.get("ROS_DISTRO") or "of this Python environment (ROS_DISTRO is not set)"
    rmw = get_rmw_implementation_identifier()
    yield ok("ros", f"ROS 2 {release}, {rmw}")
    if rmw != _FAST_DDS:
        yield note("ros", f"config/fastdds.xml is for {_FAST_DDS}; give {rmw} buffers for images, too")
        return
    profile = environment.get(PROFILE) or environment.get(OLD_PROFILE)
    if environment.get("FASTDDS_BUILTIN_TRANSPORTS") == "LARGE_DATA":
        yield warning(
            "ros",
            "FASTDDS_BUILTIN_TRANSPORTS is LARGE_DATA: programs without it do not see this terminal's nodes",
            f"unset it, and set {PROFILE} to config/fastdds.xml for the camera drivers",
        )
    elif profile and not os.path.isfile(profile):
        yield warning("ros", f"the Fast DDS profile {profile} does not exist", "correct or unset the path")
    elif profile:
        yield ok("ros", f"Fast DDS profile {profile}")
    else:
        yield note("ros", f"no Fast DDS profile in this terminal; camera drivers need one ({PROFILE})")


def domain(node: Node, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """The domain, and the nodes in it. Nobody but us must be called ``node``."""
    number = environment.get("ROS_DOMAIN_ID") or "0"
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or "SUBNET"
    names = [full_name(namespace, name) for name, namespace in node.get_node_names_and_namespaces()]
    own = node.get_fully_qualified_name()
    others = sorted(name for name in names if name != own)
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    listed = f"{len(others)} other nodes: {', '.join(others[:_SHOWN])}{more}" if others else "no other node"
    yield ok("domain", f"domain {number}, discovery {reach}: {listed}")
    for name, count in Counter(others).items():
        if count > 1:
            yield warning(
                "domain",
                f"{count} nodes are called {name}: was something started twice?",
                "end one of them, or give it another name or namespace",
            )
