# SPDX-License-Identifier: Apache-2.0
"""The simulation's clock: the computer's, or a faster one of its own, published on /clock."""

import time

from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from dit_policy_ros.ros.common import stamp_ns, to_stamp
from dit_policy_ros.ros.common.qos import CLOCK, COMMANDS

MAX_BEHIND_NS = 20_000_000  # [ns] simulated time may lag by this and catch up; a longer lag delays the clock
MAX_AHEAD_NS = 40_000_000  # [ns] simulated time may lead the newest command by this; 30 arrive per second
_SILENT_NS = 500_000_000  # [ns] without a command after which the operator is not waited for


class SystemClock:
    """The node's clock. If the simulation cannot keep up, simulated time jumps."""

    def __init__(self, node: Node) -> None:
        self._clock = node.get_clock()

    def begin(self) -> int:
        """Start time of the simulation [ns]."""
        return self._clock.now().nanoseconds

    def goal(self, simulated_ns: int) -> int:
        """The time [ns] to simulate up to, from ``simulated_ns``."""
        return self._clock.now().nanoseconds

    def now(self, simulated_ns: int) -> int:
        """The time that other nodes see [ns]."""
        return self._clock.now().nanoseconds

    def publish(self, simulated_ns: int) -> None:
        """Nothing to publish: every node reads the computer's clock."""


class SimulatedClock:
    """Runs ``speed`` times as fast as the computer's clock, or as fast as the simulation can.

    It is published on /clock for nodes with use_sim_time. It never jumps: it only shows times that the
    simulation has reached. It also waits for the operator's commands, so a slow operator loses no time.

    Args:
        node: of the simulator.
        speed: largest multiple of real time.
        waits_for: topic of the operator's sensor_msgs/JointState, whose stamps show its progress; or empty.
    """

    def __init__(self, node: Node, speed: float, waits_for: str) -> None:
        self._node, self._speed = node, speed
        self._operator = (0, 0)  # stamp [ns] of the operator's newest command, and its time of receipt [ns]
        if waits_for:
            node.create_subscription(JointState, waits_for, self._on_command, COMMANDS)
        self._publisher = node.create_publisher(Clock, "/clock", CLOCK)
        self._anchor = (0, 0)  # steady clock and simulated time [ns] that the goal is counted from

    def begin(self) -> int:
        """Start time of the simulation [ns]: now, so that its stamps look like real ones."""
        start_ns = self._node.get_clock().now().nanoseconds
        self._anchor = time.monotonic_ns(), start_ns
        return start_ns

    def goal(self, simulated_ns: int) -> int:
        """The time [ns] to simulate up to; at most a little ahead of ``simulated_ns``."""
        steady_ns = time.monotonic_ns()
        goal_ns = self._anchor[1] + round((steady_ns - self._anchor[0]) * self._speed)
        furthest_ns = simulated_ns + MAX_BEHIND_NS
        stamp, received_ns = self._operator
        if steady_ns - received_ns < _SILENT_NS:
            furthest_ns = min(furthest_ns, max(simulated_ns, stamp + MAX_AHEAD_NS))
        if goal_ns > furthest_ns:
            goal_ns = furthest_ns
            self._anchor = steady_ns, goal_ns
        return goal_ns

    def _on_command(self, message: JointState) -> None:
        self._operator = stamp_ns(message.header.stamp), time.monotonic_ns()

    def now(self, simulated_ns: int) -> int:
        """The time that other nodes see [ns]."""
        return simulated_ns

    def publish(self, simulated_ns: int) -> None:
        """Publish the time [ns] on /clock."""
        self._publisher.publish(Clock(clock=to_stamp(simulated_ns)))


def simulation_clock(node: Node, speed: float, waits_for: str) -> SystemClock | SimulatedClock:
    """The computer's clock for speed 0, else a clock that is ``speed`` times as fast."""
    return SimulatedClock(node, speed, waits_for) if speed else SystemClock(node)
