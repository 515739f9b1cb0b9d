#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the loop is around the policy: simulator and policy node as processes, messages between them.

Reports, from the node's own status while inference runs: image stamp to published trajectory without the
inference, the interval of the control timer, the inference itself, and each process's use of the CPU.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.demo import cpu_seconds
from dit_policy_ros.evaluation.session import ros_environment, running_session
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos

TASK = "touch the red cube with the left arm"
SETTLING = 5.0  # [s]


def measure(checkpoint: Path, seconds: float, logs: Path) -> dict[str, float | int]:
    """Run the loop for so long [s] after it has settled and read off the figures."""
    newest: dict[str, PolicyStatus] = {}
    referee: dict[str, str] = {}
    parameters = {"checkpoint": str(checkpoint.absolute()), "task": TASK}
    with ros_environment(logs) as environment, running_session(environment, logs, parameters, 0) as session:
        session.node.create_subscription(
            PolicyStatus, "/policy/status", lambda m: newest.update(status=m), qos.STATUS
        )
        session.node.create_subscription(
            DiagnosticStatus,
            "/sim/referee",
            lambda m: referee.update({pair.key: pair.value for pair in m.values}),
            qos.STATUS,
        )
        session.transition(Transition.TRANSITION_CONFIGURE)
        session.transition(Transition.TRANSITION_ACTIVATE)
        session.wait(lambda: False, SETTLING)
        before = {child.name: cpu_seconds(child) for child in session.children}
        began = time.monotonic()
        session.wait(lambda: False, seconds)
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("out/bench/loop.json"), help="where figures go")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to measure [s]")
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as logs:
        figures = measure(options.checkpoint, options.seconds, Path(logs))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:28} {value:.4f}" if isinstance(value, float) else f"{name:28} {value}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
