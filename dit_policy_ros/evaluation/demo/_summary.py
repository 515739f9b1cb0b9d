# SPDX-License-Identifier: Apache-2.0
"""The demo's results: summary.json and the printed tables. docs/demo.md explains the keys."""

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.evaluation.demo._monitor import DemoMonitor, Trial
from dit_policy_ros.msg import PolicyStatus

FIGURES = (
    *("inference_latency_p50", "inference_latency_p95", "pipeline_latency_p50", "pipeline_latency_p95"),
    *("control_rate", "control_interval_p50", "control_interval_p99", "chunk_rate"),
)
PACKAGES = ("dit_policy_ros", "rclpy", "torch", "transformers", "mujoco", "numpy")


def package_versions() -> dict[str, str]:
    """Versions of Python, of ROS and of the packages that matter."""
    found = {"python": platform.python_version(), "ros": os.environ.get("ROS_DISTRO", "wheels")}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # an installed ROS has no metadata for some of them
            found[name] = "unknown"
    return found


def summarize_demo(monitor: DemoMonitor, status: PolicyStatus, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The content of summary.json.

    Args:
        monitor: what was observed.
        status: the policy's last one during a trial; counters are the monitor's totals.
        facts: further entries, included unchanged.
    """
    trials = [_trial_entry(trial) for trial in monitor.trials]
    referee = monitor.referee.values
    return {
        "instructions": trials,
        "success_rate": sum(trial["success"] for trial in trials) / max(len(trials), 1),
        **{name: _to_json(getattr(status, name)) for name in FIGURES},
        **monitor.totals,
        "hold_reasons": list(monitor.hold_reasons.values()),
        "device": status.device,
        "real_time_factor": _to_json(float(referee.get("real_time_factor", "nan"))),
        "frames_dropped": int(referee.get("frames_dropped", 0)),
        "trajectories_accepted": int(referee.get("trajectories_accepted", 0)),
        "trajectories_rejected": int(referee.get("trajectories_rejected", 0)),
        **facts,
        "versions": package_versions(),
        "cores": os.cpu_count(),
    }


def _trial_entry(trial: Trial) -> dict[str, Any]:
    kept = ("instruction", "success", "time_to_success", "min_distance", "seconds", "wrong_touches")
    kept += ("changed_while_running",)
    return {name: _to_json(value) for name, value in asdict(trial).items() if name in kept}


def _to_json(value: Any) -> Any:
    """Round a float; JSON has no infinity and no NaN, so a figure that was not measured becomes null."""
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def write_summary(summary: dict[str, Any], path: Path) -> None:
    """Write the summary atomically: a reader never sees an incomplete file."""
    write_atomically(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def summary_tables(summary: dict[str, Any]) -> tuple[Table, Table]:
    """Two tables for the terminal: the instructions, and how the system ran."""
    trials = Table(title="Instructions", title_justify="left")
    for column in ("instruction", "done", "after", "closest"):
        trials.add_column(column, justify="left" if column == "instruction" else "right")
    for trial in summary["instructions"]:
        after, closest = trial["time_to_success"], trial["min_distance"]
        trials.add_row(
            Text(trial["instruction"] + (" (while it ran)" if trial["changed_while_running"] else "")),
            "yes" if trial["success"] else "no",
            "" if after is None else f"{after:.1f} s",
            "" if closest is None else f"{closest * 1e3:.0f} mm",
        )
    system = Table(title="System", title_justify="left", show_header=False)
    milliseconds = {
        name: f"{summary[name] * 1e3:.1f} ms" for name in FIGURES if "latency" in name or "interval" in name
    }
    rows = {
        "inference p50 / p95": "{inference_latency_p50} / {inference_latency_p95}",
        "image to trajectory without inference": "{pipeline_latency_p50} / {pipeline_latency_p95}",
        "control interval p50 / p99": "{control_interval_p50} / {control_interval_p99}",
    }
    for label, text in rows.items():
        system.add_row(label, text.format(**milliseconds))
    system.add_row(
        "control rate, chunks", f"{summary['control_rate']:.1f} Hz, {summary['chunk_rate']:.1f} Hz"
    )
    system.add_row("plans sent, rejected", f"{summary['plans']}, {summary['trajectories_rejected']}")
    holds = f"{summary['holds']} {'; '.join(summary['hold_reasons'])}".strip()
    system.add_row("holds", Text(holds))
    system.add_row("simulation", f"{summary['real_time_factor'] or math.nan:.2f} of real time")
    system.add_row("CPU policy, simulator", f"{summary['cpu_policy']:.2f}, {summary['cpu_sim']:.2f} cores")
    return trials, system
