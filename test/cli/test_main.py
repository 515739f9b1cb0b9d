# SPDX-License-Identifier: Apache-2.0
import importlib.util
import signal
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


@pytest.fixture
def without_packages(tmp_path):
    """Runs a script by the interpreter alone, without the packages of the environment that runs the tests."""

    def run(script: Path, **environment: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-S", str(script)]  # -S: no site-packages
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return run


# These read their arguments before they import anything, and here they have none.
@pytest.mark.parametrize(
    "name", sorted(set(console.COMMANDS) - {"push_to_hub", "relocate", "record_console"})
)
def test_without_the_virtual_environment_each_program_says_what_to_do(without_packages, name):
    ended = without_packages(ROOT / "scripts" / name, PYTHONPATH=str(ROOT))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{name}: the Python package ")
    assert "/bin/activate` in this terminal" in line and sys.executable in line


def test_a_script_outside_its_workspace_says_so(without_packages, tmp_path):
    script = tmp_path / "policy_node"
    script.write_text((ROOT / "scripts" / "policy_node").read_text())
    ended = without_packages(script)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "No module named 'dit_policy_ros'" in line and ".venv/bin/activate" in line


def test_the_environment_of_the_checkout_is_named(monkeypatch, tmp_path, capsys):
    def load(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(sys, "prefix", sys.base_prefix)  # no virtual environment is active
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    monkeypatch.setattr(console, "load", load)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "scripts" / "policy_node")])
    assert console.run("policy_node") == 1
    assert f"source {tmp_path}/.venv/bin/activate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "profile"),
    [("torch", "inference"), ("mujoco.renderer", "sim"), ("lerobot", "record"), ("pytest", "dev")],
)
def test_in_an_active_environment_the_profile_that_brings_the_package_is_named(
    monkeypatch, capsys, package, profile
):
    def load(name):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(console, "load", load)
    monkeypatch.setattr(sys, "prefix", "robot/.venv")
    assert console.run("policy_node") == 1
    error = capsys.readouterr().err
    assert f"'{package.partition('.')[0]}' is not installed in robot/.venv" in error
    assert f"`make setup PROFILE={profile}`" in error


def test_generated_interfaces_that_are_missing_are_not_taken_for_a_package(monkeypatch, capsys):
    def load(name):
        raise ModuleNotFoundError("No module named 'dit_policy_ros.msg'", name="dit_policy_ros.msg")

    monkeypatch.setattr(console, "load", load)
    assert console.run("policy_node") == 1
    assert "not built" in capsys.readouterr().err


def test_ctrl_c_while_imports_run_ends_without_a_traceback():
    code = (
        "import os, signal; from dit_policy_ros.cli import main;"
        "main.load = lambda name: os.kill(os.getpid(), signal.SIGINT); main.run('policy_node')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
