# SPDX-License-Identifier: Apache-2.0
"""The nodes' executables: what was asked for on the command line is what runs, or the node does not start."""

import importlib
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from ros_testing import call, spinning

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"
NODES = {
    "policy_node": "dit_policy_ros.ros.policy.policy_node",
    "recorder_node": "dit_policy_ros.ros.recorder.recorder_node",
    "sim_node": "dit_policy_ros.ros.sim.sim_node",
    "teleop_expert": "dit_policy_ros.ros.sim.teleop_node",
}
START = 60.0  # [s] for a process to import its libraries on a busy machine


def in_force(process: Any, node: str, *names: str) -> list[Any]:
    """The values that a running node uses."""
    client = rclpy.create_node("client")
    with spinning(client):
        request = GetParameters.Request(names=list(names))
        answer = call(client, GetParameters, f"{node}/get_parameters", request, timeout=START)
    assert process.alive
    return [parameter_value_to_python(value) for value in answer.values]


def test_the_recorder_runs_with_what_was_asked_for(ros_domain, start_process) -> None:
    arguments = ("--ros-args", "--params-file", str(CONFIG), "-p", "reset_time:=3.0", "-p", "joy.start:=7")
    process = start_process("recorder", NODES["recorder_node"], *arguments)
    assert in_force(process, "/recorder", "reset_time", "joy.start", "fps", "video.quality") == [
        3.0,
        7,
        30.0,
        20,
    ]
    assert "the next step is `ros2 lifecycle set /recorder configure`" in process.output()


def test_the_policy_section_reaches_a_node_in_a_cell_under_another_name(
    ros_domain, start_process, tmp_path
) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text(CONFIG.read_text().replace("velocity_scale: 1.0", "velocity_scale: 0.1"))
    arguments = (
        "--ros-args",
        "-r",
        "__ns:=/left_cell",
        "-r",
        "__node:=arm_policy",
        "--params-file",
        str(file),
    )
    arguments += ("-p", "soft_start:=2.5", "-p", "ensemble.mode:=newest")
    process = start_process("policy", NODES["policy_node"], *arguments)
    names = ("velocity_scale", "soft_start", "ensemble.mode", "plan_horizon")
    assert in_force(process, "/left_cell/arm_policy", *names) == [0.1, 2.5, "newest", 0.5]


@pytest.mark.parametrize("executable", NODES)
@pytest.mark.parametrize("arguments", [["--foo"], ["foo"], ["--ros-args", "-p", "a:=1", "--", "--foo"]])
def test_arguments_that_are_no_ros_arguments_are_refused(monkeypatch, capsys, executable, arguments) -> None:
    module = importlib.import_module(NODES[executable])
    monkeypatch.setattr(module, "run_node", lambda *_, **__: pytest.fail("a node was started"))
    assert module.main(arguments) == 2
    printed = capsys.readouterr().err
    assert f"{executable}: it takes ROS arguments only, got: {arguments[-1]}" in printed
    assert "--ros-args -p NAME:=VALUE" in printed


@pytest.mark.parametrize(
    ("executable", "arguments", "advice"),
    [
        ("sim_node", ["--seed", "3"], "--ros-args -p seed:=3."),
        ("sim_node", ["--seed=3", "--camera-rate", "10"], "--ros-args -p seed:=3 -p camera_rate:=10."),
        ("recorder_node", ["--dataset", "out/x"], "--ros-args -p dataset:=out/x."),
        ("policy_node", ["velocity_scale:=0.1"], "--ros-args -p velocity_scale:=0.1."),
        ("policy_node", ["--velocity_scal", "0.1"], "--ros-args -p velocity_scale:=0.1."),
        ("teleop_expert", ["--seed"], "--ros-args -p seed:=VALUE."),
    ],
)
def test_the_right_form_is_named(capsys, executable, arguments, advice) -> None:
    assert importlib.import_module(NODES[executable]).main(arguments) == 2
    assert advice in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--seed", "3"), 2, ["-p seed:=3"]),
        (("--ros-args", "--seed", "3"), 2, ["--seed"]),
        (("--ros-args", "-p", "recorder:seed:=3"), 1, ["recorder:seed:=3", "'sim' node"]),
        (("--ros-args", "--params-file", "/nowhere.yaml"), 1, ["/nowhere.yaml", "cannot be read"]),
        (("--ros-args", "-r", "__ns:=/a b"), 2, ["/a b"]),
    ],
)
def test_a_process_that_cannot_do_what_was_asked_ends(
    ros_domain, start_process, arguments, code, words
) -> None:
    child = start_process("sim", NODES["sim_node"], *arguments)
    assert child.process.wait(START) == code
    assert "Traceback" not in child.output()
    for word in words:
        assert word in child.output()


DEAF = """
    import sys
    from rclpy.node import Node
    from dit_policy_ros.ros.common import run_node

    def deaf(cli_args):
        node = Node("sim")
        node.declare_parameter("speed", 1.0)
        return node

    sys.exit(run_node(deaf))
"""


def test_a_value_that_the_node_does_not_use_ends_it(ros_domain, start_process, tmp_path) -> None:
    """For example in a node that ignores its command line."""
    script = tmp_path / "deaf.py"
    script.write_text(textwrap.dedent(DEAF))
    child = start_process("deaf", sys.executable, str(script), "--ros-args", "-p", "speed:=2.0")
    assert child.process.wait(START) == 1
    assert "-p speed:=2.0 was asked for, but the node uses 1.0" in child.output()
