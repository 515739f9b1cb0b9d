# SPDX-License-Identifier: Apache-2.0
"""The demo's summary as JSON and as tables."""

import json
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rclpy.node import Node
from rich.console import Console

from dit_policy_ros.evaluation.demo import summary_tables, write_summary
from dit_policy_ros.evaluation.demo._monitor import COUNTERS, DemoMonitor, Trial
from dit_policy_ros.evaluation.demo._summary import summarize_demo
from dit_policy_ros.msg import PolicyStatus

TASK = "touch the red cube with the left arm"


def test_what_was_not_measured_is_null_and_brackets_are_not_markup(tmp_path: Path) -> None:
    trial = Trial("touch [the] moon", began=0.0, touches_before={})
    monitor = SimpleNamespace(
        trials=[trial],
        hold_reasons={"#": "too slow [s]"},
        referee=SimpleNamespace(values={}),
        totals=dict.fromkeys(COUNTERS, 0),
    )
    summary = summarize_demo(monitor, PolicyStatus(), {"cpu_policy": 0.5, "cpu_sim": 0.5})
    write_summary(summary, tmp_path / "summary.json")
    read = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert read["instructions"][0]["min_distance"] is None
    assert read["success_rate"] == 0.0
    console = Console(record=True, width=120, file=StringIO())
    for table in summary_tables(read):
        console.print(table)
    printed = console.export_text()
    assert "touch [the] moon" in printed
    assert [str(next(iter(column.cells))) for column in summary_tables(read)[0].columns] == [
        "touch [the] moon",
        "no",
        "",
        "",
    ], "what was not judged is left blank"
    assert "too slow [s]" in printed


def test_counters_are_summed_over_the_activations(ros_domain) -> None:
    """The policy counts anew from each activation on: an e-stop in the first one must not vanish."""
    node = Node("demo_monitor")
    monitor = DemoMonitor(node, lambda *_: None)
    for holds, plans in ((1, 40), (0, 30)):
        monitor.begin_trial(TASK)
        for part in (2, 1):
            monitor._on_status(PolicyStatus(plans=plans // part, holds=holds))
        monitor.end_trial()
        monitor._on_status(PolicyStatus(plans=plans, holds=holds + 1))  # the hold of the deactivation
        monitor.end_activation()
        monitor._on_status(PolicyStatus())
    monitor.end_activation()
    facts = {"cpu_policy": 0.5, "cpu_sim": 0.5}
    summary = summarize_demo(monitor, PolicyStatus(plans=30), facts)
    assert (summary["holds"], summary["plans"]) == (1, 70)
    node.destroy_node()
