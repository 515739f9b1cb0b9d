# SPDX-License-Identifier: Apache-2.0
"""A process that receives every message to the simulated robot's controllers and checks it.

It shares no code with the node that makes the messages. Once a second and at the end it writes to the file
that its first argument names: {"newest": {controller: stamp}, "violations": [...], "incomplete": [[stamp,
controllers that got no message of this stamp], ...]}.

A plan is published with depth 1, so a busy computer may lose a message on the way to one receiver: a message
that is missing here is a fault only if no other receiver has it.
"""

import contextlib
import json
import signal
import sys
from pathlib import Path

import numpy as np
import rclpy
import yaml
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from trajectory_msgs.msg import JointTrajectory

LATE = 1.0  # [s] longest delivery time of a message, on a busy machine
STEP = 0.002  # [rad or m] largest jump of the command from one plan to the next


class Watcher(Node):
    """Checks messages; see the module."""

    def __init__(self, output: Path, config: Path) -> None:
        super().__init__("watcher")
        contract = yaml.safe_load(config.read_text())["/**"]["ros__parameters"]
        self._limits, self._output = contract["limits"], output
        self._violations: list[str] = []
        self._newest: dict[str, int] = {}  # stamp [ns]
        self._last: dict[str, tuple[int, np.ndarray, np.ndarray, np.ndarray]] = {}
        self._stamps: dict[int, set[str]] = {}
        self._controllers = contract["controllers"]["names"]
        for name in self._controllers:
            joints = contract["controllers"][name]["joints"]
            self.create_subscription(
                JointTrajectory,
                f"/{name}/joint_trajectory",
                lambda message, n=name, j=joints: self._on_message(n, j, message),
                100,
            )
        self.create_timer(1.0, self.write)

    def _on_message(self, name: str, joints: list[str], message: JointTrajectory) -> None:
        stamp = message.header.stamp
        self._newest[name] = max(self._newest.get(name, 0), stamp.sec * 1_000_000_000 + stamp.nanosec)
        now_ns = self.get_clock().now().nanoseconds
        faults = list(self._faults(name, joints, message, now_ns))
        self._violations += [f"{name} at {now_ns * 1e-9:.3f}: {fault}" for fault in faults]

    def _faults(self, name, joints, message, now_ns):
        if list(message.joint_names) != joints:
            yield f"joints {list(message.joint_names)}"
            return
        # Times are relative to the stamp: seconds since 1970 as a float are rounded to a quarter of a
        # microsecond, and knots can be ten microseconds apart.
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        now = (now_ns - stamp_ns) * 1e-9
        self._stamps.setdefault(stamp_ns, set()).add(name)
        times = np.array([p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in message.points])
        lengths = {len(field) for p in message.points for field in (p.positions, p.velocities)}
        if lengths != {len(joints)}:
            yield f"shapes: fields of {sorted(lengths)} for {len(joints)} joints"
            return
        positions = np.array([p.positions for p in message.points])  # (K, J)
        velocities = np.array([p.velocities for p in message.points])  # (K, J)
        if not (np.isfinite(positions).all() and np.isfinite(velocities).all()):
            yield "not finite"
            return
        if (np.diff(times) <= 0).any():
            yield "times do not increase"
        if velocities[-1].any():
            yield "does not end at rest"
        if not times[0] <= now or times[-1] < now - LATE:
            yield f"spans {times[0] - now:.3f} to {times[-1] - now:.3f} s from now"
        yield from self._limit_violations(joints, times, positions, velocities)
        if name in self._last:
            yield from self._jumps(*self._last[name], (now_ns, stamp_ns, times[0], positions[0]))
        self._last[name] = (stamp_ns, times, positions, velocities)

    def _limit_violations(self, joints, times, positions, velocities):
        grid = np.linspace(times[0], times[-1], 20 * len(times))
        for j, joint in enumerate(joints):
            limit = self._limits[joint]
            p, v, a = hermite(times, positions[:, j], velocities[:, j], grid)
            if p.min() < limit["position_min"] - 1e-4 or p.max() > limit["position_max"] + 1e-4:
                yield f"{joint} moves to {p.min():.4f}..{p.max():.4f}"
            if np.abs(v).max() > limit["velocity"] * 1.0001 + 1e-6:
                yield f"{joint} moves at {np.abs(v).max():.4f}"
            if np.abs(a).max() > limit["acceleration"] * 1.001 + 0.02:
                yield f"{joint} accelerates by {np.abs(a).max():.4f}"

    def _jumps(self, stamp_ns, times, positions, velocities, new):
        """A new plan must begin where the old one is at that time, unless the old one is over."""
        now_ns, new_stamp_ns, first, beginning = new
        at = (new_stamp_ns - stamp_ns) * 1e-9 + first
        if (now_ns - stamp_ns) * 1e-9 > times[-1] + 0.3 or at < times[0]:
            return  # a new start after standing still
        for j, position in enumerate(beginning):
            before = hermite(times, positions[:, j], velocities[:, j], np.array([at]))[0][0]
            if abs(position - before) > STEP:
                yield f"joint {j} jumps from {before:.4f} to {position:.4f}"

    def write(self) -> None:
        newest = max(self._stamps, default=0)
        incomplete = [
            (stamp, sorted(set(self._controllers) - names))
            for stamp, names in self._stamps.items()
            if len(names) < len(self._controllers) and stamp < newest - 2_000_000_000
        ]
        report = {"newest": self._newest, "violations": self._violations, "incomplete": incomplete}
        temporary = self._output.with_suffix(".tmp")
        temporary.write_text(json.dumps(report))
        temporary.rename(self._output)


def hermite(times, positions, velocities, at):
    """Position, velocity and acceleration of the cubic Hermite spline at the times `at`, within its ends."""
    at = np.clip(at, times[0], times[-1])
    if len(times) == 1:
        return np.full(len(at), positions[0]), np.zeros(len(at)), np.zeros(len(at))
    k = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    h, u = times[k + 1] - times[k], (at - times[k]) / (times[k + 1] - times[k])
    p0, p1, v0, v1 = positions[k], positions[k + 1], velocities[k], velocities[k + 1]
    p = (
        (2 * u**3 - 3 * u**2 + 1) * p0
        + (u**3 - 2 * u**2 + u) * h * v0
        + (3 * u**2 - 2 * u**3) * p1
        + (u**3 - u**2) * h * v1
    )
    v = 6 * (u**2 - u) * (p0 - p1) / h + (3 * u**2 - 4 * u + 1) * v0 + (3 * u**2 - 2 * u) * v1
    a = ((12 * u - 6) * (p0 - p1) / h + (6 * u - 4) * v0 + (6 * u - 2) * v1) / h
    return p, v, a


def main() -> None:
    """Watch until SIGINT or SIGTERM."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    watcher = Watcher(Path(sys.argv[1]), Path(sys.argv[2]))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: rclpy.try_shutdown())
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(watcher)
    watcher.write()


if __name__ == "__main__":
    main()
