# SPDX-License-Identifier: Apache-2.0
"""Whether another robot is where the simulator would be: two robots must not share their topics."""

import time
from collections.abc import Sequence

from rclpy.node import Node

from dit_policy_ros.core.errors import SimulationError

_PERIOD = 0.05  # [s]
_UNKNOWN = "_NODE_NAME_UNKNOWN_"  # an endpoint that was found before its node
_OWN_WITHIN = 1.0  # [s] until a node finds its own publisher
_NAMED_WITHIN = 1.0  # [s] until the name of a found node is known


class OtherRobotWatch:
    """Looks for others who publish the simulator's joint_states, and for controllers of the same name."""

    def __init__(self, node: Node, controllers: Sequence[str]) -> None:
        """Call it before any publisher of the node exists. controllers: their names."""
        self._node, self._made = node, time.monotonic()
        self._topic = node.resolve_topic_name("joint_states")
        self._controllers = {f"{node.get_namespace().rstrip('/')}/{name}" for name in controllers}
        self._own: set[bytes] = set()  # GIDs

    def begin(self, discovery_time: float) -> None:
        """Wait until this node is `discovery_time` [s] old, so that others have been found.

        Raises:
            SimulationError: another robot is there.
        """
        while (remaining := self._made + discovery_time - time.monotonic()) > 0.0:
            self.check()
            time.sleep(min(_PERIOD, remaining))
        self.check()

    def know_own(self) -> None:
        """Remember this node's own publisher. Call it right after the publisher was made."""
        me, deadline = self._node.get_fully_qualified_name(), time.monotonic() + _OWN_WITHIN
        while not self._own and time.monotonic() < deadline:
            self._own = {gid for gid, name in self._publishers().items() if name == me}

    def check(self) -> None:
        """Raises SimulationError if another robot is there."""
        found = [f"{name} publishes {self._topic}" for name in sorted(self._others())]
        nodes = {
            f"{namespace.rstrip('/')}/{name}"
            for name, namespace in self._node.get_node_names_and_namespaces()
        }
        found += [f"the controller {name} runs" for name in sorted(self._controllers & nodes)]
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
            unnamed = [name for name in others if _UNKNOWN in name]
            if not unnamed or time.monotonic() > deadline:
                return [name for name in others if name not in unnamed] + ["an unknown node"] * len(unnamed)
            time.sleep(_PERIOD)

    def _publishers(self) -> dict[bytes, str]:
        """Full names of the nodes that publish joint states, by GID."""
        return {
            bytes(info.endpoint_gid): f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self._node.get_publishers_info_by_topic(self._topic)
        }
