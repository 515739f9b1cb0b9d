# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
from pathlib import Path

from waiting import wait_for

from dit_policy_ros.core.child_processes import start

ROOT = Path(__file__).resolve().parents[2]
IGNORES_SIGINT = "import signal; signal.signal(2, signal.SIG_IGN); print('up', flush=True); signal.pause()"
HANDLES_SIGINT = """
import signal
try:
    print("up", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("bye")
"""
PARENT = f"""
import os, pathlib, signal, sys
from dit_policy_ros.core.child_processes import start
child = start("child", [sys.executable, "-c", {IGNORES_SIGINT!r}], os.environ, pathlib.Path(sys.argv[1]))
print(child.process.pid, flush=True)
signal.pause()
"""


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_ignores_sigint_is_killed(tmp_path):
    child = start("stubborn", [sys.executable, "-c", IGNORES_SIGINT], os.environ, tmp_path / "log")
    wait_for(lambda: "up" in child.output(), 10, "the child started")
    assert child.stop(grace=0.1) == -signal.SIGKILL
    assert not child.alive


def test_a_child_that_handles_sigint_ends_by_itself_and_its_output_is_kept(tmp_path):
    child = start("polite", [sys.executable, "-c", HANDLES_SIGINT], os.environ, tmp_path / "log")
    wait_for(lambda: "up" in child.output(), 10, "the child started")
    assert child.stop(grace=10) == 0
    assert child.output() == "up\nbye"
    assert child.output(last_lines=1) == "bye"


def test_grandchildren_end_with_the_child(tmp_path):
    child = start("parent", ["sh", "-c", "sleep 1000 & echo $!; wait"], os.environ, tmp_path / "log")
    grandchild = int(wait_for(child.output, 10, "the grandchild started"))
    child.stop(grace=0.1)
    wait_for(lambda: not running(grandchild), 5, "the grandchild is gone")


def test_children_die_when_the_parent_is_killed(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", PARENT, str(log)]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_for(lambda: "up" in log.read_text(), 10, "the child started")
    parent.kill()
    parent.wait()
    wait_for(lambda: not running(pid), 5, "the child is gone")
