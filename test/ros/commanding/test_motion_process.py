# SPDX-License-Identifier: Apache-2.0
"""The process that moves the robot: alone of its name, missed when it hangs, ended with its program."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from builtin_interfaces.msg import Time
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.commanding import MotionError
from dit_policy_ros.ros.commanding._motion_process import MotionProcess


def test_a_process_that_is_gone_leaves_no_open_file():
    node = graph([])
    process = MotionProcess(node, "policy", [sys.executable, "-c", "print('done')"], os.environ)
    wait_for(lambda: not process.alive, 30.0, "it ends")
    process.close()
    assert process.log.read_text() == "done\n"
    links = Path("/proc/self/fd").iterdir()
    assert process.log not in [Path(os.readlink(each)) for each in links if each.is_symlink()]
    process.log.unlink()


def graph(publishers: list[str]) -> SimpleNamespace:
    """A node of a graph in which these publish the status; a test may change the list."""
    return SimpleNamespace(
        create_subscription=lambda *_: None,
        create_client=lambda *_: SimpleNamespace(service_is_ready=lambda: True),
        get_publishers_info_by_topic=lambda _: publishers,
    )


def test_it_is_activated_when_its_clock_runs(tmp_path):
    """In simulated time the clock stands at 0 until /clock has come; its checks refuse it then."""
    motion: Any = MotionProcess.__new__(MotionProcess)
    stamps, steps = iter([0, 0, 5]), []
    motion.status = None

    def check() -> None:  # called while it waits
        if steps:
            motion.status = PolicyStatus(stamp=Time(sec=next(stamps)))

    motion.check = check
    motion._name, motion._node = "policy", graph(["ours"])
    motion._client = SimpleNamespace(service_is_ready=lambda: True)
    motion.log, motion._began = tmp_path / "log", time.monotonic()
    motion.log.write_text("up")
    motion._change = lambda transition, state: steps.append((state, motion.status))
    motion.bring_up()
    (first, before), (second, after) = steps
    assert (first, second) == ("configured", "activated")
    assert before is None and after.stamp.sec == 5


def running(publishers: list[str]) -> Any:
    """A process that does nothing, of a node in such a graph."""
    motion: Any = MotionProcess(graph(publishers), "policy", [sys.executable, "-c", ""], os.environ)
    motion._process.wait()  # it is only looked at
    motion._process = SimpleNamespace(poll=lambda: None, pid=0)
    return motion


def test_a_policy_node_that_hangs_is_noticed(monkeypatch):
    """Its process is there, and LeRobot's loop would go on with arms that stand."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    motion = running([])
    motion.log.unlink()
    motion._is_up = True
    for _ in range(3):  # this process looks again and again
        motion._take_status(PolicyStatus())
        for _ in range(3):
            now += 3.0
            motion.check()
    now += 1.5
    with pytest.raises(MotionError, match="has said nothing for 10 s: it hangs"):
        motion.check()


def test_a_program_that_stood_still_itself_waits_for_the_news(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    motion = running([])
    motion.log.unlink()
    motion._is_up = True
    now += 60.0  # stopped by a signal, or saving an episode
    motion.check()
    now += 4.0
    motion.check()


def test_two_policy_nodes_of_one_name_are_refused_before_one_is_configured(monkeypatch):
    """A service of that name is answered by both: the other one's arms would be activated."""
    monkeypatch.setattr("dit_policy_ros.ros.commanding._motion_process._ALONE_WITHIN", 0.05)
    with pytest.raises(MotionError, match="another policy node is called policy"):
        running(["another"])
    publishers: list[str] = []
    motion, steps = running(publishers), []
    publishers += ["another"]  # it is found later
    motion._change = lambda transition, state: steps.append(state)
    check, looks = motion.check, iter(range(9))

    def appear() -> None:  # called while it waits
        if next(looks) == 2:
            motion.log.write_text("up")
            publishers.append("ours")
        check()

    motion.check = appear
    with pytest.raises(MotionError, match="another policy node is called policy"):
        motion.bring_up()
    assert steps == [] and publishers == ["another", "ours"], "the other one was not taken for its own"
    publishers.remove("another")  # it was killed, and is gone from the graph
    motion.check = check
    motion.status = PolicyStatus(stamp=Time(sec=5))
    motion.bring_up()
    assert steps == ["configured", "activated"]
    motion.log.unlink()


def test_a_process_that_does_not_end_is_killed_and_is_not_of_our_group(monkeypatch):
    """Ctrl-C in a terminal is for its parent, which lets it hold."""
    monkeypatch.setattr("dit_policy_ros.ros.commanding._motion_process._ENDS_WITHIN", 0.2)
    code = "import signal, time; signal.signal(2, signal.SIG_IGN); print('ready', flush=True); time.sleep(99)"
    process = MotionProcess(graph([]), "policy", [sys.executable, "-c", code], os.environ)
    wait_for(lambda: "ready" in process.log.read_text(), 30.0, "it does not start")
    assert os.getpgid(process.pid) == process.pid
    process.close()
    assert not process.alive
    process.log.unlink()


def test_a_refused_transition_is_an_error_with_the_end_of_the_output():
    publishers: list[str] = []
    motion = running(publishers)
    publishers.append("ours")
    motion.log.write_text("cannot configure: no joint states\n")
    future = SimpleNamespace(done=lambda: True, result=lambda: SimpleNamespace(success=False))
    motion._client.call_async = lambda request: future
    with pytest.raises(MotionError, match=r"(?s)could not be configured.*no joint states"):
        motion.bring_up()
    motion.log.unlink()
