# SPDX-License-Identifier: Apache-2.0
"""The demo as a user runs it: a program that starts two nodes, which must end with it."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import av
from lifecycle_msgs.srv import GetState
from rclpy.lifecycle import LifecycleNode
from ros_testing import call, spinning
from sensor_msgs.msg import JointState
from small_robot import TASKS, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.cli import demo
from dit_policy_ros.sim.robot import HOME, JOINTS

STARTING, CONFIGURED, RUNNING = "starting the simulator", "policy loaded", "state running"
UP_WITHIN = 150  # [s] importing torch, mujoco and ROS in three processes, on a busy machine


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("demo") / "checkpoint", joints=JOINTS, around=HOME)


@pytest.fixture
def start_demo(start_process, tmp_path):
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


@pytest.mark.slow  # it takes a computer that keeps real time
def test_a_whole_run(start_demo, checkpoint, tmp_path):
    child = start_demo(checkpoint, "--task-time", "3", "--task", TASKS[0], "--task", TASKS[1])
    wait_for(lambda: not child.alive, UP_WITHIN, "the demo ends by itself")
    assert child.process.returncode == 0
    assert nodes(tmp_path / "out") == {}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [trial["instruction"] for trial in summary["instructions"]] == [TASKS[0], TASKS[1]]
    assert all(trial["min_distance"] >= 0.0 for trial in summary["instructions"])
    assert summary["plans"] > 0
    assert summary["trajectories_accepted"] >= 4
    assert summary["hold_reasons"] == []
    with av.open(str(tmp_path / "out" / "demo.mp4")) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == summary["video_frames"] > 15
    assert (frames[0].width, frames[0].height) == (640, 544)
    caption = frames[-1].to_ndarray(format="rgb24")[480:]  # (64, 640, 3)
    assert caption.max() > 150, "the instruction is drawn below the picture"


@pytest.mark.parametrize(
    "moment", [STARTING, *(pytest.param(each, marks=pytest.mark.slow) for each in (CONFIGURED, RUNNING))]
)
def test_ctrl_c_leaves_nothing_behind(start_demo, checkpoint, tmp_path, moment):
    child = start_demo(checkpoint)
    wait_for(lambda: moment in child.output(), UP_WITHIN, moment)
    child.process.send_signal(signal.SIGINT)
    wait_for(lambda: not child.alive, 40, "the demo ends")
    assert child.process.returncode == 130
    assert "Traceback" not in child.output()
    assert nodes(tmp_path / "out") == {}


@pytest.mark.slow  # a whole demo
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_from_outside_its_nodes_end_too(start_demo, checkpoint, tmp_path, number):
    child = start_demo(checkpoint)
    wait_for(lambda: CONFIGURED in child.output(), UP_WITHIN, "the policy is loaded")
    assert len(nodes(tmp_path / "out")) == 3, "simulator, policy and its inference process"
    child.process.send_signal(number)
    wait_for(lambda: not child.alive, 40, "the demo ends")
    wait_for(lambda: nodes(tmp_path / "out") == {}, 5, "its nodes are gone")


@pytest.mark.slow
def test_a_node_that_dies_ends_the_demo(start_demo, checkpoint, tmp_path):
    child = start_demo(checkpoint)
    wait_for(lambda: RUNNING in child.output(), UP_WITHIN, "the policy runs")
    (sim,) = (pid for pid, command in nodes(tmp_path / "out").items() if "sim_node" in command)
    os.kill(sim, signal.SIGKILL)
    wait_for(lambda: not child.alive, 40, "the demo ends")
    assert child.process.returncode == 1
    assert "the node sim ended with exit code -9" in child.output()
    assert nodes(tmp_path / "out") == {}


@pytest.mark.slow  # it starts all nodes twice
def test_a_missing_checkpoint_is_named_and_a_robot_in_the_users_domain_is_not_touched(
    ros_domain, start_demo, checkpoint, tmp_path
):
    """ROS_DOMAIN_ID is exported, and a policy_node runs there: the demo must not configure it."""
    foreign = LifecycleNode("policy")
    foreign.create_publisher(JointState, "joint_states", 10)
    with spinning(foreign):
        child = start_demo(tmp_path / "nothing")
        wait_for(lambda: not child.alive, UP_WITHIN, "the demo ends")
        assert child.process.returncode == 1
        assert str(tmp_path / "nothing") in child.output(), "the demo's own policy was configured"
        assert "Traceback" not in child.output()
        assert nodes(tmp_path / "out") == {}
        joining = start_demo(checkpoint, "--domain", str(ros_domain.id))
        wait_for(lambda: not joining.alive, UP_WITHIN, "the demo ends")
        assert joining.process.returncode == 1
        assert "the node /policy runs" in joining.output()
        assert "/policy publishes on /joint_states" in joining.output()
        answer = call(foreign, GetState, "/policy/get_state", GetState.Request())
    assert answer.current_state.label == "unconfigured"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--domain", "233"], "expected 0 to 232, got 233"),
        (["--domain", "mine"], "expected 0 to 232, got mine"),
        (["--task-time", "nan"], "0.5 to 600"),
        (["--task", "juggle"], "knows no task 'juggle'"),
        (["--tasks", TASKS[0]], "--tasks was renamed; use --task TEXT, once for each task"),
    ],
)
def test_options_that_cannot_be_used_are_refused(capsys, arguments, expected):
    with pytest.raises(SystemExit) as refusal:
        demo.parse(arguments)
    assert refusal.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_task_in_other_words_is_judged_as_the_one_that_is_meant():
    said = "grab the blue one with your right hand"
    options = demo.parse(["--task", said, "--task", TASKS[0]])
    assert options.tasks == [said, TASKS[0]]
    assert options.meant == {said: "lift the blue cube with the right arm"}


def test_importing_the_demo_leaves_torch_alone(start_process):
    child = start_process(
        "import",
        sys.executable,
        "-c",
        "import sys, dit_policy_ros.cli.demo as d; print('torch' in sys.modules)",
    )
    wait_for(lambda: not child.alive, 30, "imported")
    assert child.output().splitlines()[-1] == "False"
