# SPDX-License-Identifier: Apache-2.0
"""What the monitor shows of policy and recorder."""

import io

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from rich.console import Console
from ros_testing import spinning
from status_publisher import StatusPublisher
from waiting import wait_for

from dit_policy_ros.evaluation.consoles import StatusMonitor, monitor_lines, monitor_panel


def shown(renderable) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("namespace", "policy"), [("/", "policy"), ("/cell_1", "policy"), ("/cell_1", "arm_policy")]
)
def test_everything_that_matters_is_on_the_panel(ros_domain, namespace, policy):
    node = rclpy.create_node("observer", namespace=namespace)
    monitor = StatusMonitor(node, policy)
    with spinning(StatusPublisher(namespace, policy), node):
        wait_for(lambda: monitor.policy and monitor.recorder and monitor.diagnostics, 10.0, "all is heard")
    text = shown(monitor_panel(monitor, monitor.policy[0]))
    for part in (
        "HOLD",
        "stream [top] is stale",
        f"needs {namespace.rstrip('/')}/{policy}/resume",
        "pick [it] up",
        "/data/pick",
        "ERROR",
    ):
        assert part in text, part
    assert "lidar" not in text
    printed = "\n".join(monitor_lines(monitor, monitor.policy[0]))
    assert "policy hold: stream [top] is stale" in printed and "HOLD, needs ~/resume" in printed
    assert "SILENT" in shown(monitor_panel(monitor, monitor.policy[0] + 60.0)) and "SILENT" not in text


def test_a_recoverable_hold_and_shadow_mode_are_said(ros_domain):
    publisher = StatusPublisher()
    publisher.status.hold_recoverable = publisher.status.dry_run = True
    node = rclpy.create_node("observer")
    monitor = StatusMonitor(node)
    with spinning(publisher, node):
        wait_for(lambda: monitor.policy, 10.0, "the status is heard")
    text = shown(monitor_panel(monitor, monitor.policy[0]))
    assert "resumes by itself" in text and "nothing moves" in text
