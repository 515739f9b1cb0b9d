# SPDX-License-Identifier: Apache-2.0
"""`dit_policy monitor` as a user runs it."""

import signal

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from ros_testing import spinning
from status_publisher import StatusPublisher
from waiting import wait_for

from dit_policy_ros.cli import monitor


def test_once_prints_and_ends_and_silence_is_explained(ros_domain, start_process):
    with spinning(StatusPublisher()):
        child = start_process("monitor", "dit_policy_ros.cli.monitor", "--once", "--timeout", "30")
        wait_for(lambda: not child.alive, 40.0, "it ends")
    assert child.process.returncode == 0
    assert "stream [top] is stale" in child.output()
    silent = start_process("silent", "dit_policy_ros.cli.monitor", "--once", "--timeout", "0.2")
    wait_for(lambda: not silent.alive, 40.0, "it ends")
    assert silent.process.returncode == 1
    assert "/policy/status" in silent.output() and "ROS_DOMAIN_ID" in silent.output()


@pytest.mark.slow
def test_without_a_terminal_it_prints_lines_until_it_is_interrupted(ros_domain, start_process):
    with spinning(StatusPublisher()):
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
