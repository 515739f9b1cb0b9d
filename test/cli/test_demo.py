# SPDX-License-Identifier: Apache-2.0
"""The demo as a user runs it: a program with two nodes of its own, which must never stay behind."""

import json
import os
import signal
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import av
from rich.console import Console
from small_robot import TASKS, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.cli import demo
from dit_policy_ros.evaluation.demo import _summary as demo_summary
from dit_policy_ros.evaluation.demo._view import Trial
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.sim.robot import HOME, JOINTS

STARTING, CONFIGURED, RUNNING = "starting the simulator", "policy loaded", "state running"
UP_WITHIN = 150  # [s] importing torch, mujoco and ROS in three processes, on a busy machine


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("demo") / "checkpoint", joints=JOINTS, around=HOME)


@pytest.fixture
def begin(start_process, tmp_path):
    def start(checkpoint: Path, *arguments: str):
        command = ("demo", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "out"), *arguments)
        return start_process("demo", "dit_policy_ros.cli.main", *command)

    return start


def nodes(output: Path) -> dict[int, str]:
    """Processes of the demo that writes to `output`, found by their environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if f"ROS_LOG_DIR={output / 'logs'}\0".encode() in environment:
            found[int(folder.name)] = command
    return found


def test_a_whole_run(begin, checkpoint, tmp_path):
    child = begin(checkpoint, "--task-time", "3", "--task", TASKS[0], "--task", TASKS[1])
    wait_for(lambda: not child.alive, UP_WITHIN, "the demo ends by itself")
    assert child.process.returncode == 0
    assert nodes(tmp_path / "out") == {}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [trial["instruction"] for trial in summary["instructions"]] == [TASKS[0], TASKS[1]]
    assert all(trial["min_distance"] >= 0.0 for trial in summary["instructions"])
    assert summary["plans"] > 0
    assert summary["trajectories_accepted"] >= 4
    assert summary["hold_reasons"] == []
    with av.open(str(tmp_path / "out" / "top.mp4")) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == summary["video_frames"] > 15
    assert (frames[0].width, frames[0].height) == (640, 544)
    caption = frames[-1].to_ndarray(format="rgb24")[480:]  # (64, 640, 3)
    assert caption.max() > 150, "the instruction is drawn below the picture"


@pytest.mark.parametrize("moment", [STARTING, pytest.param(CONFIGURED, marks=pytest.mark.slow), RUNNING])
def test_ctrl_c_leaves_nothing_behind(begin, checkpoint, tmp_path, moment):
    child = begin(checkpoint)
    wait_for(lambda: moment in child.output(), UP_WITHIN, moment)
    child.process.send_signal(signal.SIGINT)
    wait_for(lambda: not child.alive, 40, "the demo ends")
    assert child.process.returncode == 130
    assert "Traceback" not in child.output()
    assert nodes(tmp_path / "out") == {}


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_ended_from_outside_it_takes_its_nodes_along(begin, checkpoint, tmp_path, number):
    child = begin(checkpoint)
    wait_for(lambda: CONFIGURED in child.output(), UP_WITHIN, "the policy is loaded")
    assert len(nodes(tmp_path / "out")) == 2
    child.process.send_signal(number)
    wait_for(lambda: not child.alive, 40, "the demo ends")
    wait_for(lambda: nodes(tmp_path / "out") == {}, 5, "its nodes are gone")


def test_a_node_that_dies_ends_the_demo(begin, checkpoint, tmp_path):
    child = begin(checkpoint)
    wait_for(lambda: RUNNING in child.output(), UP_WITHIN, "the policy runs")
    (sim,) = (pid for pid, command in nodes(tmp_path / "out").items() if "sim_node" in command)
    os.kill(sim, signal.SIGKILL)
    wait_for(lambda: not child.alive, 40, "the demo ends")
    assert child.process.returncode == 1
    assert "the node sim ended with exit code -9" in child.output()
    assert nodes(tmp_path / "out") == {}


def test_a_missing_checkpoint_is_named(begin, tmp_path):
    child = begin(tmp_path / "nothing")
    wait_for(lambda: not child.alive, UP_WITHIN, "the demo ends")
    assert child.process.returncode == 1
    assert str(tmp_path / "nothing") in child.output()
    assert "Traceback" not in child.output()
    assert nodes(tmp_path / "out") == {}


def test_what_was_never_measured_is_null_and_brackets_are_no_markup(tmp_path):
    trial = Trial("touch [the] moon", began=0.0, touches_before={})
    view = SimpleNamespace(trials=[trial], hold_reasons={"#": "too slow [s]"}, referee={})
    summary = demo_summary.summarize(view, PolicyStatus(), cpu_policy=0.5, cpu_sim=0.5)
    demo_summary.write(summary, tmp_path / "summary.json")
    read = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert read["instructions"][0]["min_distance"] is None
    assert read["success_rate"] == 0.0
    console = Console(record=True, width=120, file=StringIO())
    for table in demo_summary.tables(read):
        console.print(table)
    printed = console.export_text()
    assert "touch [the] moon" in printed
    assert [str(next(iter(column.cells))) for column in demo_summary.tables(read)[0].columns] == [
        "touch [the] moon",
        "no",
        "",
        "",
    ], "what was not judged is left blank"
    assert "too slow [s]" in printed


def test_an_impossible_time_is_refused(capsys):
    with pytest.raises(SystemExit) as refusal:
        demo.parse(["--task-time", "nan"])
    assert refusal.value.code == 2
    assert "0.5 to 600" in capsys.readouterr().err


def test_importing_the_demo_leaves_torch_alone(start_process):
    child = start_process(
        "import",
        sys.executable,
        "-c",
        "import sys, dit_policy_ros.cli.demo as d; print('torch' in sys.modules)",
    )
    wait_for(lambda: not child.alive, 30, "imported")
    assert child.output().splitlines()[-1] == "False"
