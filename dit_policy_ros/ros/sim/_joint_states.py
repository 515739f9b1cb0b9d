# SPDX-License-Identifier: Apache-2.0
"""Publishes the simulated joints as the contract says that the robot does: topics, names and units."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from dit_policy_ros.core.contract import Contract, JointMapping, JointStateTopic
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.ros.sim._messages import joint_state_message
from dit_policy_ros.sim.robot import SimulatedRobot

_QOS = QoSProfile(depth=10)  # reliable, as the broadcaster publishes


@dataclass(frozen=True, slots=True)
class _Part:
    """What one topic has: the names in its messages, and the indices of these joints."""

    publisher: Publisher
    names: tuple[str, ...]
    joints: np.ndarray


def joint_state_topics(contract: Contract | None) -> tuple[JointStateTopic, ...]:
    """The topics of the joint states."""
    return (JointStateTopic("joint_states"),) if contract is None else contract.joint_states


class JointStates:
    """Publishes all joints, each on every topic whose prefix fits its name best.

    The order is alphabetical, as joint_state_broadcaster's mostly is: readers must use the names.
    """

    def __init__(
        self,
        node: Node,
        sim: SimulatedRobot,
        contract: Contract | None,
        create: Callable[[Callable[[], Publisher]], Publisher],
    ) -> None:
        """create: calls what it is given, and knows the publisher as this node's own.

        Raises SimulationError for a joint that is on no topic.
        """
        self._sim = sim
        self._mapping = robot_names(sim.joints, contract)
        topics = joint_state_topics(contract)
        names = self._mapping.sources
        best = [
            max((len(t.prefix) for t in topics if name.startswith(t.prefix)), default=-1) for name in names
        ]
        if -1 in best:
            raise SimulationError(
                f"joint states: '{names[best.index(-1)]}' begins with no prefix of joint_states.prefixes, "
                "so it is on no topic. Correct robot_names or the prefixes"
            )
        self._parts: list[_Part] = []
        for each in topics:
            joints = [
                i for i in np.argsort(np.array(names))
                if names[i].startswith(each.prefix) and len(each.prefix) == best[i]
            ]  # fmt: skip
            publisher = create(lambda topic=each.topic: node.create_publisher(JointState, topic, _QOS))
            short = tuple(names[i].removeprefix(each.prefix) for i in joints)
            self._parts.append(_Part(publisher, short, np.array(joints, dtype=int)))

    def publish(self) -> None:
        """Publish what is measured now."""
        sim = self._sim
        positions = self._mapping.inverse(sim.joint_positions)  # (A,)
        velocities = self._mapping.inverse_rates(sim.joint_velocities)  # (A,)
        efforts = sim.joint_efforts  # (A,)
        for part in self._parts:
            values = (each[part.joints] for each in (positions, velocities, efforts))
            part.publisher.publish(joint_state_message(sim.time_ns, part.names, *values))


def robot_names(joints: tuple[str, ...], contract: Contract | None) -> JointMapping:
    """The robot's names and units of all simulated joints; of those outside the contract, their own."""
    names, scale, offset = list(joints), np.ones(len(joints)), np.zeros(len(joints))
    if contract is not None:
        of_contract = contract.robot_mapping
        for k, joint in enumerate(contract.joints):
            if joint not in joints:
                continue  # a coordinate of a pose
            i = joints.index(joint)
            names[i], scale[i], offset[i] = (
                of_contract.sources[k],
                of_contract.scale[k],
                of_contract.offset[k],
            )
    return JointMapping(tuple(names), scale, offset)
