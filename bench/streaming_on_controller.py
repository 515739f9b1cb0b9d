#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The methods of bench_streaming.py on a real joint_trajectory_controller. Not part of `make bench`.

It needs ros2_control in another terminal, without a policy, which would also command the arms:

    ros2 launch dit_policy_ros bimanual.launch.py robot:=mock autostart:=false

It swings a joint by 0.6 rad without any check, so it runs only if /robot_description has nothing but mock
hardware. Mock hardware reports the commanded positions, so the commands are read from /joint_states.

--upsampled is for controllers of Rolling with positions_upsampling: {enable: true, policy_frequency: 30.0}.
"""

import re
import sys
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import rclpy
from bench_streaming import (
    CASES,
    CONTROL_NS,
    LATENCIES_NS,
    METHODS,
    SETTLING,
    T0_NS,
    UPSAMPLED,
    figures,
    stream,
)
from builtin_interfaces.msg import Duration
from command_line import make_parser, parse, write_figures
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.ros.common import stamp_ns, to_stamp
from dit_policy_ros.sim.controllers import Trajectory

CONTROLLER = "left_arm_controller"
JOINTS = tuple(f"left_joint_{number}" for number in range(1, 7))
MOVED = 0  # index of the joint that moves; the others stand still
APPEARS_WITHIN = 10.0  # [s]
LONGEST_GAP = 5.0  # between two messages [s]
MAX_GAP = 1.5  # between two consecutive joint states [control periods]
MOCK = "mock_components/GenericSystem"


class Bench(Node):
    """Sends trajectories and keeps the joint states."""

    def __init__(self) -> None:
        super().__init__("streaming_bench")
        self.description = ""
        self.states: list[tuple[int, dict[str, float]]] = []  # stamp [ns], position by joint
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(String, "/robot_description", self._describe, latched)
        self.create_subscription(JointState, "/joint_states", self._keep, 1000)
        self._publisher = self.create_publisher(
            JointTrajectory, f"/{CONTROLLER}/joint_trajectory", QoSProfile(depth=1)
        )

    def _describe(self, message: String) -> None:
        self.description = message.data

    def _keep(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position, strict=True))
        self.states.append((stamp_ns(message.header.stamp), positions))

    def connected(self) -> bool:
        """Whether the controller is subscribed, and its robot's description and joint states have arrived."""
        return bool(self._publisher.get_subscription_count() and self.description and self.states)

    def now_ns(self) -> int:
        """Time by the clock of the stamps [ns]."""
        return self.get_clock().now().nanoseconds

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Process messages until the condition holds (True) or the time is over (False)."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            rclpy.spin_once(self, timeout_sec=0.001)
        return True

    def send(self, trajectory: Trajectory, shift_ns: int, others: dict[str, float]) -> None:
        """Publish a one-joint trajectory as one of the whole arm, its stamp moved by ``shift_ns``."""
        message = JointTrajectory(joint_names=list(JOINTS))
        if trajectory.stamp_ns:
            message.header.stamp = to_stamp(trajectory.stamp_ns + shift_ns)
        for point in trajectory.points:
            positions = [others[name] for name in JOINTS]
            positions[MOVED] = point.positions[0]
            made = JointTrajectoryPoint(
                positions=positions, time_from_start=_duration(point.time_from_start_ns)
            )
            if point.velocities:
                made.velocities = [point.velocities[0] if i == MOVED else 0.0 for i in range(len(JOINTS))]
            message.points.append(made)
        self._publisher.publish(message)

    def go_home(self, rest: float) -> dict[str, float]:
        """Move the joint to 0 within ``rest`` [s] and forget the states. Returns all positions before."""
        others = self.states[-1][1]
        home = JointTrajectoryPoint(
            positions=[0.0 if i == MOVED else others[name] for i, name in enumerate(JOINTS)],
            time_from_start=_duration(round(rest * 1e9)),
        )
        self._publisher.publish(JointTrajectory(joint_names=list(JOINTS), points=[home]))
        self.wait(lambda: False, 2.0 * rest)
        self.states.clear()
        return others

    def run(
        self, messages: deque[tuple[int, Trajectory]], rest: float, clock_offset_ns: int
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Stream the messages.

        Returns times (N,) [ns], as in bench_streaming, commands (N,) [rad], and by how much the latest
        message came too late [s]: if that is much, the figures are those of a busy computer.
        """
        others = self.go_home(rest)
        shift_ns, late_ns = self.now_ns() - T0_NS, 0
        while messages:
            due_ns = messages[0][0] + shift_ns
            self.wait(lambda due_ns=due_ns: self.now_ns() >= due_ns, LONGEST_GAP)
            late_ns = max(late_ns, self.now_ns() - due_ns)
            self.send(messages.popleft()[1], shift_ns + clock_offset_ns, others)
        states = self.states[:]
        times_ns = np.array([time_ns for time_ns, _ in states]) - shift_ns
        measured = np.array([state[JOINTS[MOVED]] for _, state in states])
        # A measured position was commanded one cycle earlier; that cycle's joint state must not be missing.
        known = np.diff(times_ns) < MAX_GAP * CONTROL_NS
        return times_ns[:-1][known] + CONTROL_NS, measured[1:][known], late_ns * 1e-9


def wait_for_mock_hardware(bench: Bench) -> None:
    """End the program if the controller does not appear, or moves anything else than mock hardware."""
    if not bench.wait(bench.connected, APPEARS_WITHIN):
        sys.exit(f"{CONTROLLER}, /joint_states or /robot_description is missing; see --help")
    plugins = set(re.findall(r"<plugin>\s*([^<\s]+)\s*</plugin>", bench.description))
    if plugins != {MOCK}:
        sys.exit(f"/robot_description has the hardware {sorted(plugins)}, expected {MOCK} alone")


def _duration(offset_ns: int) -> Duration:
    return Duration(sec=offset_ns // 1_000_000_000, nanosec=offset_ns % 1_000_000_000)


def main() -> None:
    parser = make_parser(__doc__, "out/bench/streaming_on_controller.json")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="duration per method and kind of chunks [s]"
    )
    parser.add_argument(
        "--settling", type=float, default=SETTLING, help="beginning that is not evaluated [s]"
    )
    parser.add_argument(
        "--rest", type=float, default=1.0, help="pause between two runs, after moving home [s]"
    )
    parser.add_argument(
        "--latency",
        choices=LATENCIES_NS,
        default="constant",
        help="from observation to chunk; default: constant",
    )
    parser.add_argument(
        "--clock-offset", type=float, default=0.0, help="by which the clock of our stamps is ahead [s]"
    )
    parser.add_argument("--only", default="", help="only methods whose name contains this text")
    parser.add_argument(
        "--upsampled", action="store_true", help="the methods for controllers with positions_upsampling"
    )
    options = parse(parser, seconds=0.6, settling=0.3, rest=0.1)
    rclpy.init()
    bench = Bench()
    wait_for_mock_hardware(bench)
    table: dict = {}
    for name, make in (UPSAMPLED if options.upsampled else METHODS).items():
        if options.only not in name:
            continue
        table[name] = {}
        for case, sigma in CASES.items():
            messages = deque(stream(make(), sigma, options.seconds, options.latency))
            times_ns, commands, late = bench.run(messages, options.rest, round(options.clock_offset * 1e9))
            found = figures(times_ns, commands, options.settling)
            table[name][case] = found | {"states": len(times_ns), "late": late}
            print(f"{name:38} {case:12} {table[name][case]}", flush=True)
    write_figures(options.output, table)
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
