# SPDX-License-Identifier: Apache-2.0
"""Creates an endpoint and finds out its GID, by which it is told from those of a node of the same name."""

import time
from collections.abc import Callable, Iterable

from rclpy.topic_endpoint_info import TopicEndpointInfo

from dit_policy_ros.ros.graph._nodes import endpoint_gid

_ATTEMPTS = 10
_APPEARS_WITHIN = 2.0  # [s] our own endpoint is in the graph, also on a busy computer
_POLL = 0.01  # [s]


def create_endpoint[T](
    create: Callable[[], T],
    destroy: Callable[[T], object],
    endpoints: Callable[[], Iterable[TopicEndpointInfo]],
) -> tuple[T, frozenset[bytes]]:
    """Create an endpoint; rclpy does not tell its GID, so it is the one that appears with it.

    Args:
        create: makes the endpoint.
        destroy: destroys one that cannot be told from another node's, to try again.
        endpoints: all endpoints of its topic that are in the graph now.

    Returns:
        What `create` made, and its GID; an empty set if that stays ambiguous, so that none counts as ours.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        before = {endpoint_gid(each) for each in endpoints()}
        made = create()
        deadline = time.monotonic() + _APPEARS_WITHIN
        while not (new := {endpoint_gid(each) for each in endpoints()} - before):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        if len(new) == 1:
            return made, frozenset(new)
        if not new or not attempts_left:
            return made, frozenset()
        destroy(made)  # another node's endpoint appeared at the same moment: try again
    raise ValueError("there is at least one attempt")
