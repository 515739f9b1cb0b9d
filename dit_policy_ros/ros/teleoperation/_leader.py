# SPDX-License-Identifier: Apache-2.0
"""Listens to the leader by which a person takes over."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import Contract, JointMapping, JointStateTopic, parse_mapping
from dit_policy_ros.core.errors import ParameterError, StreamError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.sensing import JointBuffer, StreamSettings
from dit_policy_ros.core.takeover import LeaderTrack
from dit_policy_ros.ros.common import JointStateReader, qos, stamp_ns
from dit_policy_ros.ros.teleoperation._converters import LEADER, TRAJECTORY, positions_from
from dit_policy_ros.ros.teleoperation._topics import topics_with_prefixes
from dit_policy_ros.ros.teleoperation._trajectory_leader import TrajectoryLeader

_KEEP, _CAPACITY = 2.0, 10_000  # [s], samples
_SAMPLING = 0.01  # [s] between two samples of a trajectory


class Leader:
    """From configure to cleanup.

    Args:
        node: owns the subscriptions.
        contract: joints and limits.
        settings: the parameters `takeover.*`.

    Raises:
        ParameterError: a controller is unknown, the topics cannot be the leader's, or the mapping is not
            valid.

    Attributes:
        joints: (S,) indices of the leader's joints in the contract.
        track: where the leader is.
    """

    def __init__(self, node: Node, contract: Contract, settings: Mapping[str, Any]) -> None:
        self.joints = _joints(contract, settings["takeover.controllers"])
        names = tuple(contract.joints[index] for index in self.joints)
        mapping = parse_mapping(settings["takeover.mapping"], names, "takeover.mapping")
        topics = _topics(node, contract, settings)
        joined = ", ".join(each.topic for each in topics)
        stream = JointBuffer(
            StreamSettings(
                "leader", settings["takeover.timeout"], _CAPACITY, _KEEP, joined, "takeover.timeout"
            ),
            names,
            configured_in="takeover",
        )
        limits, grippers = contract.limits.of_joints(self.joints), contract.gripper_mask[self.joints]
        self.track = LeaderTrack(names, stream, limits, grippers)
        self._node = node
        # Of its own: a leader must not wait for a service or a timer.
        self._group, self._owned = MutuallyExclusiveCallbackGroup(), list[Callable[[], object]]()
        self._listen(settings["takeover.source"], topics, mapping)

    def close(self) -> None:
        """End the subscriptions."""
        while self._owned:
            self._owned.pop()()

    def _listen(self, source: str, topics: tuple[JointStateTopic, ...], mapping: JointMapping) -> None:
        if source == TRAJECTORY:
            trajectories = TrajectoryLeader(self.track, mapping)
            for each in topics:
                self._subscribe(JointTrajectory, each, functools.partial(self._follow, trajectories, each))
            timer = self._node.create_timer(
                _SAMPLING, functools.partial(self._use, trajectories.sample), callback_group=self._group
            )
            self._owned.append(functools.partial(self._node.destroy_timer, timer))
        elif len(topics) > 1 or any(each.prefix for each in topics):
            for each in topics:
                reader = JointStateReader(mapping, each.prefix)
                self._subscribe(JointState, each, functools.partial(self._read_some, reader, each))
        else:
            kind, convert = positions_from(source, mapping)
            read = functools.partial(self._read, convert, source == LEADER)
            for each in topics:  # it is one
                self._subscribe(kind, each, read)

    def _subscribe(self, kind: type, topic: JointStateTopic, read: Callable[[Any, int], None]) -> None:
        def on_message(message: Any) -> None:
            self._use(functools.partial(read, message))

        subscription = self._node.create_subscription(
            kind, topic.topic, on_message, qos.JOINT_STATES, callback_group=self._group
        )
        self._owned.append(functools.partial(self._node.destroy_subscription, subscription))

    def _use(self, read: Callable[[int], None]) -> None:
        """Call with the present time [ns]; what cannot be used ends a take-over."""
        now_ns = self._node.get_clock().now().nanoseconds
        try:
            read(now_ns)
        except StreamError as error:
            self.track.refuse(str(error), now_ns)

    def _read(
        self, convert: Callable[[Any], NDArray[np.float64]], is_stamped: bool, message: Any, now_ns: int
    ) -> None:
        values = convert(message)  # (S,)
        self.track.push(stamp_ns(message.header.stamp) if is_stamped else now_ns, values, now_ns)

    def _read_some(
        self, reader: JointStateReader, topic: JointStateTopic, message: JointState, now_ns: int
    ) -> None:
        joints, values = reader(message)  # (M,) both
        if joints:
            self.track.push_some(stamp_ns(message.header.stamp), joints, values, now_ns, topic.topic)
        elif reader.others:
            self.track.stream.note_others(reader.others, now_ns)

    def _follow(
        self, trajectories: TrajectoryLeader, topic: JointStateTopic, message: JointTrajectory, now_ns: int
    ) -> None:
        trajectories.add(topic.topic, topic.prefix, message, now_ns)


def _topics(node: Node, contract: Contract, settings: Mapping[str, Any]) -> tuple[JointStateTopic, ...]:
    """Where the leader publishes.

    Raises ParameterError if another source than an arm or a trajectory has several topics, or one of them is
    a controller's.
    """
    source = settings["takeover.source"]
    several = topics_with_prefixes("takeover", settings["takeover.topics"], settings["takeover.prefixes"])
    if several and source not in (LEADER, TRAJECTORY):
        raise ParameterError(
            f"takeover.topics: expected none for takeover.source {source}, got "
            f"{listing(each.topic for each in several)}. Only {LEADER} and {TRAJECTORY} may have several"
        )
    topics = several or (JointStateTopic(settings["takeover.topic"]),)
    commanded = {
        node.resolve_topic_name(each.topic): each.name for each in contract.controllers if each.topic
    }
    for each in topics:
        if name := commanded.get(node.resolve_topic_name(each.topic)):
            raise ParameterError(
                f"takeover.topic '{each.topic}' is where {name} is commanded: nothing may publish there but "
                "the policy node. Let the teleoperation publish on a topic of its own (remap it)"
            )
    return topics


def _joints(contract: Contract, controllers: tuple[str, ...]) -> NDArray[np.intp]:
    """Indices (S,) of the joints of controllers, in the contract's order."""
    chosen = [name for name in controllers if name]
    known = [each.name for each in contract.controllers]
    if unknown := sorted(set(chosen) - set(known)):
        raise ParameterError(
            f"takeover.controllers: there is no controller {listing(map(repr, unknown))}; the contract has: "
            f"{listing(known)}"
        )
    if poses := [each.name for each in contract.controllers if each.pose and each.name in (chosen or known)]:
        raise ParameterError(
            f"takeover.controllers: expected controllers of joints; {listing(poses)} takes poses, which no "
            "leader has. Name the others, or set takeover.source: none"
        )
    indices = {int(i) for name in (chosen or known) for i in contract.indices(name)}
    return np.array(sorted(indices), dtype=np.intp)
