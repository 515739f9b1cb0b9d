# SPDX-License-Identifier: Apache-2.0
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from dit_policy_ros.cli import main as console

ROOT = Path(__file__).resolve().parents[2]


def test_help_names_every_command(capsys):
    assert console.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in console.COMMANDS)


def test_every_ros2_run_name_is_a_command():
    assert {script.name for script in (ROOT / "scripts").iterdir()} == set(console.COMMANDS)


@pytest.mark.parametrize("name", console.COMMANDS)
def test_every_command_has_its_module(name):
    assert importlib.util.find_spec(console.COMMANDS[name].module)


def test_an_unknown_name_suggests_the_nearest(capsys):
    assert console.main(["polcy_node"]) == 2
    error = capsys.readouterr().err
    assert "did you mean policy_node?" in error
    assert "recorder_node" in error


def test_arguments_and_exit_code_pass_through(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dit_policy"])
    monkeypatch.setattr(console, "load", lambda name: lambda: len(sys.argv))
    assert console.main(["demo", "--fast", "--seed=1"]) == 3
    assert sys.argv == ["dit_policy demo", "--fast", "--seed=1"]


def test_help_comes_without_heavy_imports():
    code = (
        "import sys; from dit_policy_ros.cli.main import main; main(['--help']);"
        "sys.exit(bool({'torch', 'rclpy', 'mujoco', 'lerobot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0
