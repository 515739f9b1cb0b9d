#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the loop is around the policy: simulator and policy node as processes, messages between them.

Reports, from the node's own status while inference runs: image stamp to published trajectory without the
inference, the interval of the control timer, the inference itself, and each process's use of the CPU.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node

from dit_policy_ros.cli.domain import claimed_domain
from dit_policy_ros.cli.processes import Child, start, stop_all
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.transport import profile_environment

TASK = "touch the red cube with the left arm"
CPU_TICKS = os.sysconf("SC_CLK_TCK")


class Observer(Node):
    """Keeps the newest status of the policy and of the simulator."""

    def __init__(self) -> None:
        super().__init__("bench_observer")
        self.status: PolicyStatus | None = None
        self.referee: dict[str, str] = {}
        self.create_subscription(PolicyStatus, "/policy/status", self._on_status, 10)
        self.create_subscription(DiagnosticStatus, "/sim/referee", self._on_referee, 10)
        self._client = self.create_client(ChangeState, "/policy/change_state")

    def _on_status(self, message: PolicyStatus) -> None:
        self.status = message

    def _on_referee(self, message: DiagnosticStatus) -> None:
        self.referee = {pair.key: pair.value for pair in message.values}

    def transition(self, number: int) -> None:
        """Take the policy node through one transition, or end with its reason."""
        if not self._client.wait_for_service(60.0):
            sys.exit("the policy node did not come up within 60 s")
        future = self._client.call_async(ChangeState.Request(transition=Transition(id=number)))
        rclpy.spin_until_future_complete(self, future, timeout_sec=60.0)
        if not future.done() or not future.result().success:
            sys.exit(f"transition {number} of the policy node failed; see its log")

    def spin_for(self, seconds: float) -> None:
        """Take in messages for so long [s]."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            rclpy.spin_once(self, timeout_sec=0.1)


def cpu_seconds(child: Child) -> float:
    """CPU time that a process has used so far, its children aside [s]."""
    fields = Path(f"/proc/{child.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CPU_TICKS


def measure(checkpoint: Path, seconds: float, logs: Path) -> dict[str, float | int | str]:
    """Run the loop for so long [s] after it has settled and read off the figures."""
    config = share_directory() / "config" / "bimanual.yaml"
    environment = {**os.environ, **profile_environment(os.environ)}
    python = [sys.executable, "-m"]
    children = [
        start("sim", [*python, "dit_policy_ros.ros.sim_node"], environment, logs / "sim.log"),
        start(
            "policy",
            [
                *(*python, "dit_policy_ros.ros.policy_node", "--ros-args", "--params-file", str(config)),
                *("-p", f"checkpoint:={checkpoint}", "-p", f"task:={TASK}"),
            ],
            environment,
            logs / "policy.log",
        ),
    ]
    rclpy.init()
    observer = Observer()
    try:
        observer.transition(Transition.TRANSITION_CONFIGURE)
        observer.transition(Transition.TRANSITION_ACTIVATE)
        observer.spin_for(5.0)
        before = {child.name: cpu_seconds(child) for child in children}
        began = time.monotonic()
        observer.spin_for(seconds)
        elapsed = time.monotonic() - began
        cpu = {f"{c.name}_cpu_share": (cpu_seconds(c) - before[c.name]) / elapsed for c in children}
    finally:
        stop_all(children)
    status = observer.status
    rclpy.shutdown()
    if status is None or not status.plans:
        sys.exit(f"the policy published no plan:\n{children[1].output(20)}")
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
        "real_time_factor": float(observer.referee.get("real_time_factor", "nan")),
        **cpu,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/bench/loop.json"), help="where the figures go"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to measure [s]")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=share_directory() / "checkpoints" / "touch_cubes",
        help="the policy; the shipped one by default",
    )
    arguments = parser.parse_args()
    with claimed_domain() as domain, tempfile.TemporaryDirectory() as logs:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        figures = measure(arguments.checkpoint, arguments.seconds, Path(logs))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:28} {value:.4f}" if isinstance(value, float) else f"{name:28} {value}")
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
