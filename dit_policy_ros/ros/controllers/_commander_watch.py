# SPDX-License-Identifier: Apache-2.0
"""Looks in the ROS graph for other nodes that command our controllers.

Nodes are told apart by the global identifiers (GID) of their endpoints: two nodes may have the same name, for
example if a launch file was started twice.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.topic_endpoint_info import TopicEndpointInfo

from dit_policy_ros.ros.common import steady_timer

_RATE = 2.0  # [Hz] of looks
_ATTEMPTS = 10
_APPEARS_WITHIN = 0.5  # [s] our own endpoint is in the graph
_POLL = 0.01  # [s]
_UNKNOWN = "_NODE_NAME_UNKNOWN_"  # name of a node that has not been discovered yet


class CommanderWatch:
    """Finds foreign endpoints of the topics that command a controller. Thread-safe."""

    def __init__(self, node: LifecycleNode) -> None:
        """Create a watch without topics; ``begin`` starts to look."""
        self._node = node
        self._queries: dict[str, tuple[str, Callable[[], Iterable[TopicEndpointInfo]], frozenset[bytes]]] = {}
        self._others: dict[str, list[str]] = {}
        self._seen: set[bytes] = set()  # foreign endpoints at the last look
        self._lock = threading.RLock()
        self._timer: Any = None

    def create_publisher(self, controller: str, topic: str, create: Callable[[], Any]) -> Any:
        """Create our publisher of a controller's trajectories by `create`, and watch its topic for others."""
        topic = self._node.resolve_topic_name(topic)

        def endpoints() -> list[TopicEndpointInfo]:
            return self._node.get_publishers_info_by_topic(topic)

        publisher, ours = self._create(create, self._node.destroy_lifecycle_publisher, endpoints)
        self._queries[controller] = (topic, endpoints, ours)
        return publisher

    def create_action_client(self, controller: str, action: str, create: Callable[[], Any]) -> Any:
        """Create our client of a controller's action by `create`, and watch the action for other clients.

        The graph does not list the clients of an action, but each of them subscribes to its feedback.
        """
        action = self._node.resolve_topic_name(action)

        def endpoints() -> list[TopicEndpointInfo]:
            return self._node.get_subscriptions_info_by_topic(f"{action}/_action/feedback")

        client, ours = self._create(create, lambda each: each.destroy(), endpoints)
        self._queries[controller] = (action, endpoints, ours)
        return client

    def begin(self) -> None:
        """Look now, and from now on at a moderate rate: the control timer must not wait for the graph."""
        self.look()
        if self._timer is None:
            group = MutuallyExclusiveCallbackGroup()
            self._timer = steady_timer(self._node, _RATE, self._on_timer, group)

    def look(self) -> list[str]:
        """Look at once; see ``others``."""
        with self._lock:
            foreign = {
                controller: [each for each in endpoints() if _gid(each) not in ours]
                for controller, (_, endpoints, ours) in self._queries.items()
            }
            # An endpoint can be found before its node. It then waits for one look to get its name.
            named = {
                controller: [each for each in found if each.node_name != _UNKNOWN or _gid(each) in self._seen]
                for controller, found in foreign.items()
            }
            self._seen = {_gid(each) for found in foreign.values() for each in found}
            self._others = {
                controller: sorted(map(self._name, found)) for controller, found in named.items() if found
            }
            return self.others()

    def others(self) -> list[str]:
        """What was found at the last look: one line per controller that others command as well."""
        with self._lock:
            return [
                f"{', '.join(names)} also commands {controller} ({self._queries[controller][0]}), which "
                "would follow both nodes in turns: stop the other node first"
                for controller, names in self._others.items()
            ]

    def close(self) -> None:
        """Look no more."""
        with self._lock:  # a look may be under way
            self._queries.clear()
            self._others.clear()
        if self._timer is not None:
            self._timer.cancel()  # rclpy complains when a timer that is due is destroyed
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _on_timer(self) -> None:
        self.look()

    def _name(self, endpoint: TopicEndpointInfo) -> str:
        if endpoint.node_name == _UNKNOWN:
            return "a node whose name is not known"
        name = f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
        if name == self._node.get_fully_qualified_name():
            return f"another node named {name} (was it started twice?)"
        return name

    def _create(
        self, create: Callable[[], Any], destroy: Callable[[Any], Any], endpoints: Callable[[], Iterable[Any]]
    ) -> tuple[Any, frozenset[bytes]]:
        """Create an endpoint; rclpy does not tell its GID, so it is the one that appears with it.

        If that stays ambiguous, none counts as ours: then activation is refused.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            before = {_gid(each) for each in endpoints()}
            made = create()
            deadline = time.monotonic() + _APPEARS_WITHIN
            while not (new := {_gid(each) for each in endpoints()} - before):
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL)
            if len(new) <= 1 or attempt == _ATTEMPTS:
                break
            destroy(made)  # another node's endpoint appeared at the same moment: try again
        return made, frozenset(new if len(new) == 1 else ())


def _gid(endpoint: TopicEndpointInfo) -> bytes:
    return bytes(endpoint.endpoint_gid)
