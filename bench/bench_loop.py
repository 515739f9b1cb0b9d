#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the whole loop is: the simulator and the policy node as two processes that exchange messages.

Reports from the node's status while it infers: time from image stamp to published trajectory without the
inference, interval of the control timer, inference time. Also reports each process's CPU use. Twice: with the
simulator's cameras, and (figures that begin with prompt_) with three cameras of 640x480 whose images are
stamped when they are published, so that rendering is not in the time.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import prompt_cameras
from command_line import make_parser, parse, write_figures
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition

from dit_policy_ros.core.child_processes import start, stop_all
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.core.transport_profile import profile_environment
from dit_policy_ros.evaluation.session import cpu_seconds, ros_environment, running_session
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos

TASK = "touch the red cube with the left arm"
SEED = 0  # of the scene


def measure(
    checkpoint: Path, settling: float, seconds: float, logs: Path, prompt: bool = False
) -> dict[str, float | int]:
    """Run the loop for ``settling``, then measure for ``seconds`` [s]; simulated or prompt cameras."""
    newest: dict[str, PolicyStatus] = {}
    referee: dict[str, str] = {}
    parameters = {"checkpoint": str(checkpoint.absolute()), "task": TASK}
    simulation = {"seed": str(SEED)}
    if prompt:
        simulation |= {"cameras": "[top]", "camera_rate": "1.0"}  # nobody sees them
        for camera in prompt_cameras.CAMERAS:
            parameters |= {
                f"cameras.{camera}.topic": prompt_cameras.topic(camera),
                f"cameras.{camera}.width": str(prompt_cameras.WIDTH),
                f"cameras.{camera}.height": str(prompt_cameras.HEIGHT),
            }
    with (
        ros_environment(logs) as environment,
        cameras(environment, logs) if prompt else contextlib.nullcontext(),
        running_session(environment, logs, parameters, simulation) as session,
    ):
        session.node.create_subscription(
            PolicyStatus, "/policy/status", lambda m: newest.update(status=m), qos.STATUS
        )
        session.node.create_subscription(
            DiagnosticStatus,
            "/sim/referee",
            lambda m: referee.update({pair.key: pair.value for pair in m.values}),
            qos.STATUS,
        )
        session.change_state(Transition.TRANSITION_CONFIGURE)
        session.change_state(Transition.TRANSITION_ACTIVATE)
        session.spin_until(lambda: False, settling)
        before = {child.name: cpu_seconds(child) for child in session.children}
        began = time.monotonic()
        session.spin_until(lambda: False, seconds)
        elapsed = time.monotonic() - began
        cpu = {f"cpu_{c.name}": (cpu_seconds(c) - before[c.name]) / elapsed for c in session.children}
    status = newest.get("status")
    if status is None or not status.plans:
        sys.exit("the policy published no plan")
    return {
        "seconds": seconds,
        "cameras": 3,
        "image_to_trajectory_p50": status.pipeline_latency_p50,
        "image_to_trajectory_p95": status.pipeline_latency_p95,
        "inference_p50": status.inference_latency_p50,
        "inference_p95": status.inference_latency_p95,
        "control_interval_p50": status.control_interval_p50,
        "control_interval_p99": status.control_interval_p99,
        "chunk_rate": status.chunk_rate,
        "plans": status.plans,
        "holds": status.holds,
        "missed_ticks": status.missed_ticks,
        "real_time_factor": float(referee.get("real_time_factor", "nan")),
        **cpu,
        "cores": os.cpu_count() or 0,
    }


@contextlib.contextmanager
def cameras(environment: Mapping[str, str], logs: Path) -> Iterator[None]:
    """Prompt cameras, as long as the block runs."""
    large_messages = {**environment, **profile_environment(environment)}
    child = start("cameras", [sys.executable, prompt_cameras.__file__], large_messages, logs / "cameras.log")
    try:
        yield
    finally:
        stop_all([child])


def main() -> None:
    parser = make_parser(__doc__, "out/bench/loop.json")
    parser.add_argument("--seconds", type=float, default=30.0, help="measuring time [s]")
    parser.add_argument("--settling", type=float, default=5.0, help="time to run before measuring [s]")
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    options = parse(parser, seconds=1.0, settling=1.0)
    with tempfile.TemporaryDirectory() as logs:
        runs = [
            measure(options.checkpoint, options.settling, options.seconds, Path(logs), prompt)
            for prompt in (False, True)
        ]
    figures = runs[0] | {f"prompt_{name}": value for name, value in runs[1].items()}
    write_figures(options.output, figures)
    for name, value in figures.items():
        print(f"{name:28} {value:.4f}" if isinstance(value, float) else f"{name:28} {value}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
