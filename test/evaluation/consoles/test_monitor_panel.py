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

from dit_policy_ros.evaluation.consoles import StatusMonitor, familiarity_words, monitor_lines, monitor_panel
from dit_policy_ros.msg import PolicyStatus


def shown(renderable, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
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


LONG = (
    "HOLD, needs ~/resume; " + "a long remedy with many words, " * 6 + "and its very last word is ENDOFREMEDY"
)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_faults_and_remedies_are_whole_on_the_first_page(ros_domain, width, height):
    publisher = StatusPublisher()
    publisher.message = LONG
    publisher.status.hold_reason = "stale: " + "why it holds, " * 10 + "ENDOFREASON"
    node = rclpy.create_node("observer")
    monitor = StatusMonitor(node)
    with spinning(publisher, node):
        wait_for(lambda: monitor.policy and monitor.recorder and monitor.diagnostics, 10.0, "all is heard")
    lines = shown(monitor_panel(monitor, monitor.policy[0]), width).splitlines()
    first_page = " ".join(" ".join(lines[:height]).split())
    for part in ("ENDOFREASON", "ENDOFREMEDY", "ros2 service call /policy/resume std_srvs/srv/Trigger"):
        assert part in first_page, part
    assert max(map(len, lines)) <= width and "..." not in first_page


def test_an_e_stop_says_how_to_end_it(ros_domain):
    publisher = StatusPublisher()
    publisher.status.e_stop = True
    node = rclpy.create_node("observer")
    monitor = StatusMonitor(node)
    with spinning(publisher, node):
        wait_for(lambda: monitor.policy, 10.0, "the status is heard")
    text = " ".join(shown(monitor_panel(monitor, monitor.policy[0])).split())
    assert "E-STOP latched" in text and "/policy/e_stop std_srvs/srv/SetBool '{data: false}'" in text


def test_a_hold_that_ended_by_itself_stays_in_the_history(ros_domain):
    publisher = StatusPublisher()
    node = rclpy.create_node("observer")
    monitor = StatusMonitor(node)
    with spinning(publisher, node):
        wait_for(lambda: monitor.holds, 10.0, "the hold is heard")
        publisher.status.state, publisher.status.state_name = PolicyStatus.RUNNING, "running"
        wait_for(lambda: monitor.holds[0].seconds is not None, 10.0, "the hold is over")
    text = shown(monitor_panel(monitor, monitor.policy[0]))
    assert "RUNNING" in text and "held " in text and "stream [top] is stale" in text


@pytest.mark.parametrize(
    ("task", "similarity", "words"),
    [
        ("touch the red cube", 0.914, "similarity to the training 0.91"),
        ("touch the red cube", float("nan"), ""),
        ("", 0.5, ""),
    ],
)
def test_how_familiar_the_task_is_stands_beside_it(ros_domain, task, similarity, words):
    status = PolicyStatus(task=task, task_familiarity=similarity, known_task=True)
    assert familiarity_words(status) == words
    monitor = StatusMonitor(rclpy.create_node("observer"))
    monitor.policy = (0.0, status)
    text = f"{task or '(none)'}{', ' if words else ''}{words}"
    assert [f"task {text}" in line for line in monitor_lines(monitor, 0.0)] == [True]
    assert text in shown(monitor_panel(monitor, 0.0))
    assert words or "similarity" not in shown(monitor_panel(monitor, 0.0))
