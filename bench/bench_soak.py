#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether the policy node stays fast and stops growing in a long run.

The node runs with the shipped checkpoint. A second process publishes 3 cameras (640x480, 30 Hz) and joint
states (200 Hz) over DDS, and follows the node's trajectories. By default the node infers on every frame,
which keeps one core busy.

Reports the duration of a control tick, the error of the control interval, the time from image stamp to
published trajectory without the inference, CPU use, and the node's memory, handles and threads from the end
of the warm-up to the end. bench/README.md has the figures of ten minutes: --seconds 600.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml
from command_line import make_parser, parse, write_figures
from lifecycle_msgs.msg import Transition
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from soak_robot import CAMERA_RATE, CONFIG, HEIGHT, JOINT_RATE, WIDTH

from dit_policy_ros.core.child_processes import Child, start, stop_all
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.core.transport_profile import profile_environment
from dit_policy_ros.evaluation.session import STOPS_WITHIN, Session, cpu_seconds, processes, ros_environment
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos

HERE = Path(__file__).parent
TASK = "touch the red cube with the left arm"
WARM_UP = 20.0  # [s] fills the node's ring buffer of observations (incident_seconds)
CONTROL_RATE = 50.0  # [Hz]
CAMERAS = 3
PHASES = 10  # of the measured time; resources in the last phase are compared with those in the first
MAX_SAMPLES = 60  # reported resource samples


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources that a process and its children use at one time of the measurement."""

    time: float  # [s]
    memory_mb: float  # resident
    private_mb: float  # the part that is anonymous: neither a file nor shared
    handles: int
    threads: int


def read_resources(pid: int, at: float) -> Resources:
    """Read the resources of a process and its children from /proc."""
    totals = np.zeros(4)
    for each in processes(pid):
        lines = Path(f"/proc/{each}/status").read_text().splitlines()
        values = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
        memory = [int(values[name][0]) * 1024 / 1e6 for name in ("VmRSS", "RssAnon")]
        totals += [*memory, len(os.listdir(f"/proc/{each}/fd")), int(values["Threads"][0])]
    return Resources(at, float(totals[0]), float(totals[1]), int(totals[2]), int(totals[3]))


def soak(options: argparse.Namespace, folder: Path) -> dict:
    """Run the processes and return all figures."""
    record, counts = folder / "record.npz", folder / "robot.json"
    total = options.warm_up + options.seconds
    parameters = {
        "checkpoint": str(options.checkpoint.absolute()),
        "task": TASK,
        "control_rate": CONTROL_RATE,
        "replan_interval": options.replan_interval,
    }
    # In a file, because a file's parameters for one node override `-p NAME:=VALUE`, which is for all nodes.
    changes = folder / "changes.yaml"
    changes.write_text(yaml.safe_dump({"/policy": {"ros__parameters": parameters}}))
    policy_command = [*(sys.executable, str(HERE / "soak_policy_node.py")), "--ros-args"]
    policy_command += ["--params-file", str(CONFIG), "--params-file", str(changes)]
    newest: dict[str, PolicyStatus] = {}
    samples: list[Resources] = []
    with ros_environment(folder) as environment:
        sized = {"SOAK_RECORD": str(record), "SOAK_VALUES": str(round((total + 60.0) * 2 * CONTROL_RATE))}
        robot_command = [sys.executable, str(HERE / "soak_robot.py"), str(counts)]
        profile = profile_environment(environment)
        robot = start("robot", robot_command, environment | profile, folder / "robot.log")
        policy = start("policy", policy_command, environment | sized, folder / "policy.log")
        node = Node("soak", use_global_arguments=False)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            node.create_subscription(
                PolicyStatus, "/policy/status", lambda message: newest.update(status=message), qos.STATUS
            )
            session = Session(node, executor, (policy, robot))
            session.change_state(Transition.TRANSITION_CONFIGURE)
            session.change_state(Transition.TRANSITION_ACTIVATE)
            session.spin_until(lambda: False, options.warm_up)
            began, cpu = time.monotonic(), _cpu(session.children)
            while (passed := time.monotonic() - began) < options.seconds:
                samples.append(read_resources(policy.process.pid, passed))
                session.spin_until(lambda: False, min(1.0, options.seconds - passed))
            ended, used = time.monotonic(), _cpu(session.children)
            samples.append(read_resources(policy.process.pid, ended - began))
        finally:
            stop_all((policy, robot), STOPS_WITHIN)
            executor.shutdown()
            node.destroy_node()
    with np.load(record) as arrays:
        ticks, pipeline = arrays["ticks"], arrays["pipeline"]  # (N, 2), (M, 2)
    status = newest["status"]
    return {
        "seconds": options.seconds,
        "cameras": f"{CAMERAS} x {WIDTH}x{HEIGHT} at {CAMERA_RATE:g} Hz",
        "joint_state_rate": JOINT_RATE,
        "replan_interval": options.replan_interval,
        **timing(ticks, pipeline, began, ended),
        "inference_p50": status.inference_latency_p50,
        "inference_p95": status.inference_latency_p95,
        "chunk_rate": status.chunk_rate,
        "plans": status.plans,
        "holds": status.holds,
        "hold_reason": status.hold_reason,
        "missed_ticks": status.missed_ticks,
        **{f"cpu_{name}": (used[name] - cpu[name]) / (ended - began) for name in used},
        "cores": os.cpu_count() or 0,
        **growth(samples),
        "robot": json.loads(counts.read_text()),
    }


def timing(ticks: np.ndarray, pipeline: np.ndarray, began: float, ended: float) -> dict:
    """Percentiles [s], and the drift of the medians.

    Args:
        ticks: (N, 2) start and duration of each control tick [s].
        pipeline: (M, 2) publication time of each trajectory, and the age of its image without inference [s].
        began, ended: start and end of the measurement, by the same clock [s].
    """
    ticks, pipeline = (
        each[(each[:, 0] >= began) & (each[:, 0] <= ended) & np.isfinite(each[:, 1])]
        for each in (ticks, pipeline)
    )
    if not (len(ticks) > 1 and len(pipeline)):
        raise ValueError(f"{len(ticks)} ticks and {len(pipeline)} trajectories were measured")
    error = np.abs(np.diff(ticks[:, 0]) - 1.0 / CONTROL_RATE)
    return {
        "tick": _percentiles(ticks[:, 1]),
        "timer_error": _percentiles(error),
        "image_to_trajectory": _percentiles(pipeline[:, 1]),
        "tick_drift_ratio": _drift(ticks),
        "image_to_trajectory_drift_ratio": _drift(pipeline),
    }


def growth(samples: list[Resources]) -> dict:
    """Resources at the end, and relative to the beginning; medians of the first and the last phase."""
    size = max(1, len(samples) // PHASES)
    figures: dict = {}
    for name in ("memory_mb", "private_mb", "handles", "threads"):
        course = np.array([getattr(sample, name) for sample in samples], dtype=float)
        first, last = float(np.median(course[:size])), float(np.median(course[-size:]))
        figures |= {name: last, f"{name.removesuffix('_mb')}_growth_ratio": last / first}
    every = -(-len(samples) // MAX_SAMPLES)
    return figures | {"course": [asdict(sample) for sample in samples[::every]]}


def _percentiles(values: np.ndarray) -> dict[str, float]:
    """Percentiles and maximum of durations (N,) [s]."""
    return {f"p{p}": float(np.percentile(values, p)) for p in (50, 95, 99)} | {"max": float(values.max())}


def _drift(rows: np.ndarray) -> float:
    """Median of the last phase divided by that of the first; rows (N, 2)."""
    size = max(1, len(rows) // PHASES)
    return float(np.median(rows[-size:, 1]) / np.median(rows[:size, 1]))


def _cpu(children: tuple[Child, ...]) -> dict[str, float]:
    return {child.name: cpu_seconds(child) for child in children}


def main() -> None:
    parser = make_parser(__doc__, "out/bench/soak.json")
    parser.add_argument("--seconds", type=float, default=30.0, help="measuring time [s]")
    parser.add_argument("--warm-up", type=float, default=WARM_UP, help="time to run before measuring [s]")
    parser.add_argument("--replan-interval", type=float, default=0.0, help="time between inferences [s]")
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    options = parse(parser, seconds=1.0, warm_up=1.0)
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(options, Path(folder))
    write_figures(options.output, figures)
    for name, value in figures.items():
        if isinstance(value, dict) and name != "robot":
            value = "  ".join(f"{key} {1e3 * number:.2f}" for key, number in value.items()) + "  ms"
        if name != "course":
            print(f"{name:32} {value:.4f}" if isinstance(value, float) else f"{name:32} {value}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
