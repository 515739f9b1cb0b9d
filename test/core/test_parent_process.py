# SPDX-License-Identifier: Apache-2.0
"""A child that asks whether its parent has ended, below a parent that is killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_for

from dit_policy_ros.core import parent_process

CHILD = """
import sys, time
from dit_policy_ros.core.parent_process import PARENT
print("child of", PARENT, flush=True)
while sys.stdin.readline() == "?\\n":
    print(PARENT.has_ended(), flush=True)
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:])
child.wait()
"""


class Asked:
    """A child process that can be asked; `parent` is the process that started it."""

    def __init__(self, before_parent: tuple[str, ...], before_child: tuple[str, ...]) -> None:
        self.parent = subprocess.Popen(
            [*before_parent, sys.executable, "-c", PARENT, *before_child, sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert self.parent.stdin and self.parent.stdout
        self._questions, self._answers = self.parent.stdin, self.parent.stdout
        self.description = self._answers.readline()

    def has_ended(self) -> bool:
        print("?", file=self._questions, flush=True)
        return {"True\n": True, "False\n": False}[self._answers.readline()]

    def close(self) -> None:
        self._questions.close()  # the child ends
        self.parent.wait()
        self._answers.close()


@pytest.fixture
def ask():
    opened = []

    def start(before_parent=(), before_child=()) -> Asked:
        opened.append(Asked(before_parent, before_child))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_the_end_of_the_parent_is_seen(ask):
    child = ask()
    assert f"({child.parent.pid})" in child.description
    assert not child.has_ended()
    child.parent.send_signal(signal.SIGKILL)
    child.parent.wait()
    wait_for(child.has_ended, 5.0, "the end is seen")


def test_a_program_that_was_started_with_nohup_outlives_its_shell(ask):
    child = ask(before_child=("nohup",))
    child.parent.send_signal(signal.SIGKILL)
    child.parent.wait()
    assert not child.has_ended()


def test_a_node_follows_a_launch_that_was_started_with_nohup(ask):
    child = ask(before_parent=("nohup",))
    child.parent.send_signal(signal.SIGKILL)
    child.parent.wait()
    wait_for(child.has_ended, 5.0, "the end is seen")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/python3\0/opt/ros/bin/ros2\0launch\0dit_policy_ros\0", "ros2 launch"),
        ("/usr/bin/bash\0", "bash"),
        ("python3\0-c\0import this\nprint()\0", "python3"),
        ("/usr/sbin/sshd\0-D\0", "sshd"),
        ("", "process"),
    ],
)
def test_the_parent_is_named_as_the_user_has_started_it(monkeypatch, command, name):
    monkeypatch.setattr(parent_process.Path, "read_text", lambda *_, **__: command)
    assert parent_process.ParentProcess().name == name


@pytest.mark.parametrize("process", [0, 1])
def test_a_child_of_init_follows_nobody(monkeypatch, process):
    monkeypatch.setattr(parent_process.os, "getppid", lambda: process)
    parent = parent_process.ParentProcess()
    monkeypatch.setattr(parent_process.os, "getppid", lambda: 77)
    assert not parent.has_ended()
