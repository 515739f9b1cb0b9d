# SPDX-License-Identifier: Apache-2.0
"""What time it is in the simulation: the computer's time, or its own, faster, on /clock."""

import time

from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from dit_policy_ros.ros.common import stamp_ns, to_stamp
from dit_policy_ros.ros.common.qos import CLOCK, COMMANDS

MAX_BEHIND_NS = 20_000_000  # of simulated time that a simulation makes up for; more than that comes later
MAX_AHEAD_NS = 40_000_000  # of an operator's newest command, who gives 30 a second
_SILENT_NS = 500_000_000  # an operator who says nothing for so long is not waited for


class ComputerClock:
    """The node's clock; where the simulation cannot follow, its time jumps."""

    def __init__(self, node: Node) -> None:
        self._clock = node.get_clock()

    def begin(self) -> int:
        """When the simulation begins [ns]."""
        return self._clock.now().nanoseconds

    def goal(self, simulated_ns: int) -> int:
        """What the simulation should have reached [ns], which has reached ``simulated_ns``."""
        return self._clock.now().nanoseconds

    def now(self, simulated_ns: int) -> int:
        """What time it is for others [ns]."""
        return self._clock.now().nanoseconds

    def publish(self, simulated_ns: int) -> None:
        """The computer tells the time."""


class OwnClock:
    """Goes ``speed`` times as fast as the computer's, or as fast as the simulation can.

    Published on /clock for nodes with use_sim_time. It never jumps: what the simulation cannot reach, it does
    not show. And it waits for whoever commands: an operator who takes long to answer has no less time for it.

    Args:
        node: of the simulator.
        speed: times real time, at most.
        waits_for: topic of a sensor_msgs/JointState whose stamps tell how far the operator is; may be empty.
    """

    def __init__(self, node: Node, speed: float, waits_for: str) -> None:
        self._node, self._speed = node, speed
        self._heard = (0, 0)  # stamp [ns] of the operator's newest command, and when it came
        if waits_for:
            node.create_subscription(JointState, waits_for, self._hear, COMMANDS)
        self._publisher = node.create_publisher(Clock, "/clock", CLOCK)
        self._anchor = (0, 0)  # steady clock and simulated time [ns] from which the goal is counted

    def begin(self) -> int:
        """When the simulation begins [ns]: now, so that its stamps look like others."""
        start_ns = self._node.get_clock().now().nanoseconds
        self._anchor = time.monotonic_ns(), start_ns
        return start_ns

    def goal(self, simulated_ns: int) -> int:
        """What the simulation should have reached [ns]; never much more than it has."""
        steady_ns = time.monotonic_ns()
        goal_ns = self._anchor[1] + round((steady_ns - self._anchor[0]) * self._speed)
        furthest_ns = simulated_ns + MAX_BEHIND_NS
        stamp, came_ns = self._heard
        if steady_ns - came_ns < _SILENT_NS:
            furthest_ns = min(furthest_ns, max(simulated_ns, stamp + MAX_AHEAD_NS))
        if goal_ns > furthest_ns:
            goal_ns = furthest_ns
            self._anchor = steady_ns, goal_ns
        return goal_ns

    def _hear(self, message: JointState) -> None:
        self._heard = stamp_ns(message.header.stamp), time.monotonic_ns()

    def now(self, simulated_ns: int) -> int:
        """What time it is for others [ns]."""
        return simulated_ns

    def publish(self, simulated_ns: int) -> None:
        """Tell the others [ns]."""
        self._publisher.publish(Clock(clock=to_stamp(simulated_ns)))


def simulation_clock(node: Node, speed: float, waits_for: str) -> ComputerClock | OwnClock:
    """The computer's clock for 0, or one of its own that is ``speed`` times as fast."""
    return OwnClock(node, speed, waits_for) if speed else ComputerClock(node)
