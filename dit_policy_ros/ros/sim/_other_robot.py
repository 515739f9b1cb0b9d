# SPDX-License-Identifier: Apache-2.0
"""Whether another robot is where the simulator would be: two robots must not share their topics."""

import time
from collections.abc import Callable, Sequence

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.topic_endpoint_info import TopicEndpointInfo

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.ros.graph import (
    UNNAMED_NODE,
    create_endpoint,
    endpoint_gid,
    full_name,
    node_names,
    node_of,
)

_PERIOD = 0.05  # [s]
_NAMED_WITHIN = 1.0  # [s] until the name of a found node is known


class OtherRobotWatch:
    """Looks for others who publish the simulator's joint states, and for controllers of the same name."""

    def __init__(self, node: Node, topics: Sequence[str], controllers: Sequence[str]) -> None:
        """Call it before any publisher of the node exists.

        Args:
            topics: of the joint states.
            controllers: names of their nodes.
        """
        self._node, self._made = node, time.monotonic()
        self._topics = [node.resolve_topic_name(topic) for topic in topics]
        self._controllers = {full_name(node.get_namespace(), name) for name in controllers}
        self._own: frozenset[bytes] = frozenset()  # GIDs

    def begin(self, discovery_time: float) -> None:
        """Wait until this node is `discovery_time` [s] old, so that others have been found.

        Raises:
            SimulationError: another robot is there.
        """
        while (remaining := self._made + discovery_time - time.monotonic()) > 0.0:
            self.check()
            time.sleep(min(_PERIOD, remaining))
        self.check()

    def create_publisher[T: Publisher](self, create: Callable[[], T]) -> T:
        """Create one of this node's own publishers of joint states by `create`."""
        publisher, own = create_endpoint(create, self._node.destroy_publisher, self._endpoints)
        self._own |= own
        return publisher

    def _endpoints(self) -> list[TopicEndpointInfo]:
        found = map(self._node.get_publishers_info_by_topic, self._topics)
        return [info for infos in found for info in infos]

    def check(self) -> None:
        """Raises SimulationError if another robot is there."""
        found = [f"{name} publishes {' or '.join(self._topics)}" for name in sorted(self._others())]
        controllers = self._controllers & node_names(self._node)
        found += [f"the controller {name} runs" for name in sorted(controllers)]
        if found:
            raise SimulationError(
                f"another robot is here: {'; '.join(found)}. What is meant for one of the two would reach "
                "both: give the simulated one a namespace or a ROS_DOMAIN_ID of its own. If they belong "
                "together, start it with -p allow_other_robot:=true"
            )

    def _others(self) -> list[str]:
        """Who else publishes joint states. An endpoint can be found a moment before its node's name."""
        deadline = time.monotonic() + _NAMED_WITHIN
        while True:
            others = [name for gid, name in self._publishers().items() if gid not in self._own]
            if all(others) or time.monotonic() > deadline:
                return [name or UNNAMED_NODE for name in others]
            time.sleep(_PERIOD)

    def _publishers(self) -> dict[bytes, str | None]:
        """Full names of the nodes that publish joint states, by GID; None: not known yet."""
        return {endpoint_gid(info): node_of(info) for info in self._endpoints()}
