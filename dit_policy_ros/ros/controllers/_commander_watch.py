# SPDX-License-Identifier: Apache-2.0
"""Looks in the ROS graph for other nodes that command our controllers.

Nodes are told apart by the global identifiers (GID) of their endpoints: two nodes may have the same name, for
example if a launch file was started twice.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.topic_endpoint_info import TopicEndpointInfo

from dit_policy_ros.ros.common import steady_timer
from dit_policy_ros.ros.graph import UNNAMED_NODE, create_endpoint, endpoint_gid, node_of

_RATE = 2.0  # [Hz] of looks


class CommanderWatch:
    """Finds foreign endpoints of the topics that command a controller. Thread-safe."""

    def __init__(self, node: LifecycleNode) -> None:
        """Create a watch without topics; ``begin`` starts to look."""
        self._node = node
        self._queries: dict[str, tuple[str, Callable[[], Iterable[TopicEndpointInfo]], frozenset[bytes]]] = {}
        self._others: tuple[str, ...] = ()  # see ``others``
        self._seen: set[bytes] = set()  # foreign endpoints at the last look
        self._lock = threading.Lock()  # one look at a time
        self._timer: Any = None

    def create_publisher(self, controller: str, topic: str, create: Callable[[], Any]) -> Any:
        """Create our publisher of a controller's trajectories by `create`, and watch its topic for others.

        If it cannot be told from another node's, neither counts as ours: then activation is refused.
        """
        topic = self._node.resolve_topic_name(topic)

        def endpoints() -> list[TopicEndpointInfo]:
            return self._node.get_publishers_info_by_topic(topic)

        publisher, ours = create_endpoint(create, self._node.destroy_lifecycle_publisher, endpoints)
        self._queries[controller] = (topic, endpoints, ours)
        return publisher

    def watch(self, controller: str, topic: str) -> None:
        """Watch the topic of a controller's trajectories, on which no publisher is ours."""
        topic = self._node.resolve_topic_name(topic)
        self._queries[controller] = (
            topic,
            lambda: self._node.get_publishers_info_by_topic(topic),
            frozenset(),
        )

    def create_action_client(self, controller: str, action: str, create: Callable[[], Any]) -> Any:
        """Create our client of a controller's action by `create`, and watch the action for other clients.

        The graph does not list the clients of an action, but each of them subscribes to its feedback.
        """
        action = self._node.resolve_topic_name(action)

        def endpoints() -> list[TopicEndpointInfo]:
            return self._node.get_subscriptions_info_by_topic(f"{action}/_action/feedback")

        client, ours = create_endpoint(create, lambda each: each.destroy(), endpoints)
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
                controller: [each for each in endpoints() if endpoint_gid(each) not in ours]
                for controller, (_, endpoints, ours) in self._queries.items()
            }
            # An endpoint can be found before its node. It then waits for one look to get its name.
            named = {
                controller: [each for each in found if node_of(each) or endpoint_gid(each) in self._seen]
                for controller, found in foreign.items()
            }
            self._seen = {endpoint_gid(each) for found in foreign.values() for each in found}
            self._others = tuple(
                f"{', '.join(sorted(map(self._name, found)))} also commands {controller} "
                f"({self._queries[controller][0]}), which would follow both nodes in turns: stop the other "
                "node first"
                for controller, found in named.items()
                if found
            )
            return self.others()

    def others(self) -> list[str]:
        """What was found at the last look: one line per controller that others command as well.

        It waits for no look that is under way: motion asks under its lock.
        """
        return list(self._others)

    def close(self) -> None:
        """Look no more."""
        with self._lock:  # a look may be under way
            self._queries.clear()
            self._others = ()
        if self._timer is not None:
            self._timer.cancel()  # rclpy complains when a timer that is due is destroyed
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _on_timer(self) -> None:
        self.look()

    def _name(self, endpoint: TopicEndpointInfo) -> str:
        name = node_of(endpoint) or UNNAMED_NODE
        if name == self._node.get_fully_qualified_name():
            return f"another node named {name} (was it started twice?)"
        return name
