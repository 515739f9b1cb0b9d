# SPDX-License-Identifier: Apache-2.0
import io
import signal

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rich.console import Console
from ros_testing import spinning
from waiting import wait_for

from dit_policy_ros.cli import monitor
from dit_policy_ros.cli.monitor_view import MonitorView, lines, panel
from dit_policy_ros.msg import PolicyStatus, RecorderStatus
from dit_policy_ros.ros.common import qos


class Talker(rclpy.node.Node):
    """Says what the nodes would."""

    def __init__(self, namespace="/"):
        super().__init__("policy_stand_in", namespace=namespace)
        self.status = PolicyStatus(
            state=PolicyStatus.HOLD,
            state_name="hold",
            hold_reason="stream [top] is stale",
            task="pick [it] up",
        )
        self._status = self.create_publisher(PolicyStatus, "policy/status", qos.STATUS)
        self._recorder = self.create_publisher(RecorderStatus, "recorder/status", qos.STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self.create_timer(0.05, self._say)

    def _say(self):
        self._status.publish(self.status)
        self._recorder.publish(RecorderStatus(state_name="ready", dataset="/data/pick"))
        prefix = self.get_namespace().strip("/")
        name = f"{prefix}/policy: motion" if prefix else "policy: motion"
        entries = [
            DiagnosticStatus(name=name, level=DiagnosticStatus.ERROR, message="HOLD, needs ~/resume"),
            DiagnosticStatus(name="lidar: driver", level=DiagnosticStatus.ERROR, message="not ours"),
        ]
        self._diagnostics.publish(DiagnosticArray(status=entries))


def shown(renderable) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize("namespace", ["/", "/cell_1"])
def test_everything_that_matters_is_on_the_panel(ros_domain, namespace):
    node = rclpy.create_node("observer", namespace=namespace)
    view = MonitorView(node)
    with spinning(Talker(namespace), node):
        wait_for(lambda: view.policy and view.recorder and view.diagnostics, 10.0, "all is heard")
    text = shown(panel(view, view.policy[0]))
    for part in (
        "HOLD",
        "stream [top] is stale",
        "needs /policy/resume",
        "pick [it] up",
        "/data/pick",
        "ERROR",
    ):
        assert part in text, part
    assert "lidar" not in text
    essence = "\n".join(lines(view, view.policy[0]))
    assert "policy hold: stream [top] is stale" in essence and "HOLD, needs ~/resume" in essence
    assert "SILENT" in shown(panel(view, view.policy[0] + 60.0)) and "SILENT" not in text


def test_a_recoverable_hold_and_shadow_mode_are_said(ros_domain):
    talker = Talker()
    talker.status.hold_recoverable = talker.status.dry_run = True
    node = rclpy.create_node("observer")
    view = MonitorView(node)
    with spinning(talker, node):
        wait_for(lambda: view.policy, 10.0, "the status is heard")
    text = shown(panel(view, view.policy[0]))
    assert "resumes by itself" in text and "nothing moves" in text


def test_once_prints_and_ends_and_silence_is_explained(ros_domain, start_process):
    with spinning(Talker()):
        child = start_process("monitor", "dit_policy_ros.cli.monitor", "--once", "--timeout", "30")
        wait_for(lambda: not child.alive, 40.0, "it ends")
    assert child.process.returncode == 0
    assert "stream [top] is stale" in child.output()
    silent = start_process("silent", "dit_policy_ros.cli.monitor", "--once", "--timeout", "0.2")
    wait_for(lambda: not silent.alive, 40.0, "it ends")
    assert silent.process.returncode == 1
    assert "/policy/status" in silent.output() and "ROS_DOMAIN_ID" in silent.output()


def test_without_a_terminal_it_prints_lines_until_it_is_interrupted(ros_domain, start_process):
    with spinning(Talker()):
        child = start_process("monitor", "dit_policy_ros.cli.monitor")
        wait_for(lambda: "policy hold" in child.output(), 30.0, "a line is printed")
        child.process.send_signal(signal.SIGINT)
        wait_for(lambda: not child.alive, 10.0, "it ends")
    assert child.process.returncode == 0
    assert "Traceback" not in child.output()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        monitor.main(["--help"])
    assert "--namespace /cell_1" in capsys.readouterr().out
