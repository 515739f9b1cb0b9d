# SPDX-License-Identifier: Apache-2.0
"""The decisions of tools/setup_env.py and tools/find_python.sh; every make target runs the whole set-up."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup_env(tmp_path, monkeypatch):
    """tools/setup_env.py as a module that works in a temporary folder instead of the checkout."""
    spec = importlib.util.spec_from_file_location("setup_env", ROOT / "tools" / "setup_env.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for name, path in (("VENV", ".venv"), ("STAMPS", ".venv/.stamps"), ("LOG", ".venv/setup.log")):
        monkeypatch.setattr(module, name, tmp_path / path)
    monkeypatch.setattr(module, "ROS_DISTRO", "")
    module.VENV.mkdir()
    return module


def find_python(**environment: str) -> subprocess.CompletedProcess:
    command = ["bash", str(ROOT / "tools" / "find_python.sh")]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


def test_a_python_that_does_not_run_is_skipped(tmp_path):
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    versions = tmp_path / "pyenv" / "versions" / "3.12.9" / "bin"
    versions.mkdir(parents=True)
    (versions / "python3.12").symlink_to(Path(sys.executable).resolve())
    found = find_python(PATH=f"{tmp_path}:/usr/bin:/bin", PYENV_ROOT=str(tmp_path / "pyenv"), ROS_DISTRO="")
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() not in ("", str(shim))
    version = subprocess.check_output([found.stdout.strip(), "--version"], text=True)
    assert version.startswith("Python 3.12.")


def test_without_a_python_the_message_lists_ways_to_install_one(tmp_path):
    empty = {"HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path), "UV_PYTHON_INSTALL_DIR": str(tmp_path)}
    found = find_python(PATH="/usr/bin:/bin", PYTHON="/nowhere/python3.12", ROS_DISTRO="", **empty)
    if found.returncode == 0:
        pytest.skip(f"this machine has a Python 3.12 in a standard place: {found.stdout.strip()}")
    assert "/nowhere/python3.12" in found.stderr
    assert "apt install python3.12" in found.stderr


def test_a_step_runs_again_only_when_its_inputs_changed(setup_env, tmp_path):
    file, runs = tmp_path / "input.txt", []
    for text in ("one", "one", "two"):
        file.write_text(text)
        setup_env.step("example", [file, "3.12.1"], lambda text=text: runs.append(text))
    assert runs == ["one", "two"]


def test_a_step_that_failed_runs_again(setup_env):
    attempts = []

    def fail_once():
        attempts.append(1)
        if len(attempts) == 1:
            raise setup_env.SetupError("no network")

    with pytest.raises(setup_env.SetupError):
        setup_env.step("example", ["same"], fail_once)
    setup_env.step("example", ["same"], fail_once)
    setup_env.step("example", ["same"], fail_once)
    assert len(attempts) == 2


@pytest.mark.parametrize(
    ("ros", "config", "complaint"),
    [
        ("jazzy", "include-system-site-packages = false", "made without ROS 2 sourced"),
        ("", "include-system-site-packages = true", "made with ROS 2 sourced"),
        (
            "",
            "include-system-site-packages = false\ncommand = python -m venv /else/.venv",
            "made at /else/.venv, not at ",
        ),
    ],
)
def test_a_venv_that_cannot_work_is_refused(setup_env, monkeypatch, ros, config, complaint):
    monkeypatch.setattr(setup_env, "ROS_DISTRO", ros)
    (setup_env.VENV / "pyvenv.cfg").write_text(config)
    with pytest.raises(setup_env.SetupError, match=complaint):
        setup_env.check_venv()


def test_the_include_folders_in_the_wheels_are_corrected(setup_env, monkeypatch):
    file = setup_env.VENV / "share" / "std_msgs" / "cmake" / "export.cmake"
    file.parent.mkdir(parents=True)
    file.write_text(f'set(include "{setup_env.BAKED_INCLUDE};{setup_env.BAKED_NUMPY};/kept")')
    monkeypatch.setattr(setup_env, "PYTHON", Path(sys.executable))
    setup_env.repair_wheels()
    folders = file.read_text().split('"')[1].split(";")
    assert all(Path(folder).is_dir() for folder in folders[:2])
    assert folders[2] == "/kept"


def test_a_command_that_fails_shows_the_end_of_its_output(setup_env):
    with pytest.raises(setup_env.SetupError, match="the reason") as failure:
        setup_env.run("sh", "-c", "echo 'the reason' >&2; exit 3")
    assert "setup.log" in str(failure.value)


def test_without_a_renderer_and_without_rights_the_message_has_the_command(setup_env, monkeypatch):
    monkeypatch.setattr(setup_env, "rendering_error", lambda: "no EGL")
    monkeypatch.setattr(setup_env, "apt_prefix", lambda: None)
    with pytest.raises(setup_env.MissingRenderer, match="sudo apt-get install libegl1 libgl1-mesa-dri"):
        setup_env.install_renderer()


def test_the_renderer_is_installed_if_the_user_has_the_rights(setup_env, monkeypatch):
    problems, commands = ["no EGL", ""], []
    monkeypatch.setattr(setup_env, "rendering_error", lambda: problems.pop(0))
    monkeypatch.setattr(setup_env, "apt_prefix", lambda: ["sudo", "-n"])
    monkeypatch.setattr(setup_env, "run", lambda *command, **_: commands.append(" ".join(command)))
    setup_env.install_renderer()
    assert commands == [
        "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get update",
        "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "
        "libegl1 libgl1-mesa-dri",
    ]


def test_every_constraint_is_a_name_and_a_version():
    lines = (ROOT / "constraints" / "python3.12.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 100
    assert [pin for pin in pins if pin.count("==") != 1 or "/" in pin or " " in pin] == []
