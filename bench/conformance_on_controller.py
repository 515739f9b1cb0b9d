#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far the simulated controller is from a real joint_trajectory_controller. Not part of `make bench`.

It needs ros2_control in another terminal, without a policy, which would also command the arms:

    ros2 launch dit_policy_ros bimanual.launch.py robot:=mock autostart:=false

It sends random messages, small ones, as the controller manager clamps large steps: with and without stamp,
stamped in the past and in the future, of one point and of many, with and without velocities. It records
<controller>/controller_state and gives the same messages to a simulated controller at the same instants. The
options must say which release runs, and its parameters. It reports the difference of reference and output
[rad].

A message may come between any two updates. Here it comes where the two controllers agree best.
"""

import copy
from typing import Any

import numpy as np
import rclpy
from bench_streaming import CONTROL_NS, JOINT
from command_line import make_parser, parse, write_figures
from control_msgs.msg import JointTrajectoryControllerState
from rclpy.qos import QoSProfile
from streaming_on_controller import CONTROLLER, MOVED, Bench, wait_for_mock_hardware

from dit_policy_ros.ros.common import stamp_ns
from dit_policy_ros.sim.controllers import (
    ControllerRelease,
    ControllerSettings,
    Point,
    Trajectory,
    TrajectoryController,
)

MS = 1_000_000
AMPLITUDE = 0.005  # [rad]
RATE = 3.0  # of the curves that are sent [rad/s]
GAP = 1.4  # states further apart than this have lost one between them [control periods]


class StateRecorder(Bench):
    """Keeps the state of the moving joint, one row per update: stamp, reference, output, feedback."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, float, float, float, float]] = []
        self.create_subscription(
            JointTrajectoryControllerState,
            f"/{CONTROLLER}/controller_state",
            self._keep_row,
            QoSProfile(depth=2000),
        )

    def _keep_row(self, message: JointTrajectoryControllerState) -> None:
        self.rows.append(
            (
                stamp_ns(message.header.stamp),
                message.reference.positions[MOVED],
                message.output.positions[MOVED],
                message.feedback.positions[MOVED],
                message.feedback.velocities[MOVED],
            )
        )


def random_message(rng: np.random.Generator, now_ns: int) -> Trajectory:
    """A piece of a random sine."""
    count = int(rng.integers(1, 12))
    step_ns = int(rng.choice([20 * MS, 33_333_333]))
    offsets_ns = step_ns * (int(rng.choice([0, 1, 3])) + np.arange(count))
    begun_ns = int(rng.uniform(0.0, 0.6) * count * step_ns)
    stamp = int(rng.choice([0, now_ns - begun_ns, now_ns - 5 * MS, now_ns + int(rng.uniform(0, 150) * MS)]))
    angles = RATE * offsets_ns * 1e-9 + rng.uniform(0.0, 2.0 * np.pi)
    velocities = AMPLITUDE * RATE * np.cos(angles)
    velocities[-1] = 0.0
    cubic = rng.random() < 0.5
    points = tuple(
        Point(int(offset), (float(AMPLITUDE * np.sin(angle)),), (float(v),) if cubic else ())
        for offset, angle, v in zip(offsets_ns, angles, velocities, strict=True)
    )
    return Trajectory(stamp, JOINT, points)


def replay(
    rows: list[tuple[int, float, float, float, float]],
    sent: list[tuple[int, Trajectory]],
    settings: ControllerSettings,
) -> np.ndarray:
    """Differences (N, 2) of reference and output, one row per recorded state [rad]."""
    controller = TrajectoryController("simulated", JOINT, period_ns=CONTROL_NS, settings=settings)
    controller.reset(np.array([rows[0][3]]))
    sent, waiting, differences = list(sent), [], []
    before_ns = rows[0][0] - CONTROL_NS
    for now_ns, reference, output, position, velocity in rows:
        measured = np.array([position]), np.array([velocity])
        while sent and sent[0][0] <= now_ns:
            waiting.append(sent.pop(0))
        if now_ns - before_ns > GAP * CONTROL_NS:
            for lost_ns in range(before_ns + CONTROL_NS, now_ns - CONTROL_NS // 2, CONTROL_NS):
                controller.update(lost_ns, *measured)
        before_ns = now_ns
        choices = []
        for count in range(len(waiting) + 1):
            trial = copy.deepcopy(controller)
            if count:
                trial.accept(waiting[count - 1][1], waiting[count - 1][0])
            trial.update(now_ns, *measured)
            found = abs(trial.reference.position[0] - reference), abs(trial.command[0] - output)
            choices.append((max(found), count, trial, found))
        _, count, controller, found = min(choices, key=lambda choice: choice[:2])
        waiting = waiting[count:]
        differences.append(found)
    return np.array(differences)


def main() -> None:
    parser = make_parser(__doc__, "out/bench/conformance_on_controller.json")
    parser.add_argument("--messages", type=int, default=60, help="number of messages; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the messages; default: %(default)s")
    parser.add_argument("--release", choices=list(ControllerRelease), default="kilted")
    parser.add_argument("--allow-trajectory-replacement", action="store_true", help="Rolling's default")
    parser.add_argument("--interpolate-from-desired-state", action="store_true", help="as in our YAML")
    parser.add_argument("--positions-upsampling", action="store_true", help="positions_upsampling.enable")
    options = parse(parser, messages=5)
    settings = ControllerSettings(
        ControllerRelease(options.release),
        allow_trajectory_replacement=options.allow_trajectory_replacement,
        interpolate_from_desired_state=options.interpolate_from_desired_state,
        positions_upsampling=options.positions_upsampling,
    )
    rclpy.init()
    bench = StateRecorder()
    wait_for_mock_hardware(bench)
    others = bench.go_home(1.0)
    bench.rows.clear()
    rng = np.random.default_rng(options.seed)
    sent: list[tuple[int, Trajectory]] = []
    while len(sent) < options.messages:
        message = random_message(rng, bench.now_ns())
        sent.append((bench.now_ns(), message))
        bench.send(message, 0, others)
        bench.wait(lambda: False, rng.uniform(0.03, 0.35))
    differences = replay(bench.rows, sent, settings)
    result: dict[str, Any] = {"states": len(differences)}
    for name, column in zip(("reference", "output"), differences.T, strict=True):
        result[name] = {
            "median": float(np.median(column)),
            "p99": float(np.quantile(column, 0.99)),
            "max": float(column.max()),
        }
        print(f"{name:10} {result[name]}")
    write_figures(options.output, result)
    print(f"{len(differences)} states, written to {options.output}")


if __name__ == "__main__":
    main()
