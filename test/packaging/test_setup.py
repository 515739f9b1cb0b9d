# SPDX-License-Identifier: Apache-2.0
"""The decisions of tools/setup_env.py and tools/find_python.sh; every make target runs the whole set-up."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup_env(tmp_path, monkeypatch):
    """tools/setup_env.py as a module that works in a temporary folder instead of the checkout."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
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


def test_a_browser_that_cannot_be_installed_is_named_and_the_setup_goes_on(setup_env, monkeypatch, capsys):
    monkeypatch.setattr(setup_env, "find_browser", lambda: "")
    monkeypatch.setattr(setup_env, "apt_prefix", lambda: None)
    setup_env.install_browser()
    assert "apt-get install chromium" in capsys.readouterr().out

    def no_network(*_, **__):
        raise setup_env.SetupError("no network")

    monkeypatch.setattr(setup_env, "apt_prefix", list)
    monkeypatch.setattr(setup_env, "run", no_network)
    setup_env.install_browser()
    assert "no network" in capsys.readouterr().out


def test_models_of_robots_that_cannot_be_installed_are_named_and_the_setup_goes_on(
    setup_env, monkeypatch, capsys
):
    commands = []

    def no_network(*command, **_):
        commands.append(command)
        raise setup_env.SetupError("no network")

    monkeypatch.setattr(setup_env, "run", no_network)
    setup_env.install_robot_models()
    assert "their tests skip: no network" in capsys.readouterr().out
    assert "--no-deps" in commands[0]
    names = [line for line in setup_env.ROBOT_MODELS.read_text().splitlines() if not line.startswith("#")]
    pins = (ROOT / "constraints" / "python3.12.txt").read_text().splitlines()
    assert all(any(pin.startswith(f"{name}==") for pin in pins) for name in names) and names


def test_every_constraint_is_a_name_and_a_version():
    lines = (ROOT / "constraints" / "python3.12.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 100
    assert [pin for pin in pins if pin.count("==") != 1 or "/" in pin or " " in pin] == []


def test_the_extras_are_pinned_and_the_setup_has_only_the_one_that_its_tests_need(setup_env):
    code = "import setuptools; from distutils.core import run_setup;"
    code += "print(run_setup('setup.py', stop_after='init').extras_require)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]
    extras = ast.literal_eval(found)
    pins = (ROOT / "constraints" / "python3.12.txt").read_text().splitlines()
    assert set(extras) == {"panel", "scale", "view", "wandb"}
    assert all(requirement in pins for packages in extras.values() for requirement in packages)
    installed = {path.stem for path in setup_env.requirement_files(["dev"], ROOT, False)}
    assert installed & set(extras) == {"panel"}


def test_without_a_profile_everything_is_installed(setup_env, tmp_path):
    assert setup_env.chosen([], tmp_path / "new") == ["dev"]


def test_an_environment_from_before_profiles_keeps_everything(setup_env, tmp_path):
    (setup_env.VENV / "bin").mkdir()
    (setup_env.VENV / "bin" / "python").touch()
    setup_env.STAMPS.mkdir()
    assert setup_env.chosen(["robot"], setup_env.VENV) == ["dev"]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([["robot"], []], ["robot"]),  # as make demo does after make setup PROFILE=robot
        ([["robot"], ["record"]], ["record", "robot"]),
        ([["robot"], ["dev"], []], ["dev"]),
    ],
)
def test_later_set_ups_keep_the_profiles_and_add_to_them(setup_env, steps, expected):
    for given in steps:
        names = setup_env.chosen(given, setup_env.VENV)
        setup_env.remember(names, setup_env.VENV)
    assert names == expected


def test_the_computer_beside_a_robot_needs_no_torch(setup_env):
    """No file of the profile names torch, or what needs it; `make setup PROFILE=robot` was tried by hand."""
    files = setup_env.requirement_files(["robot"], ROOT, False)
    assert {path.stem for path in files} == {"panel", "robot", "ros"}
    names = {line for path in files for line in path.read_text().splitlines()}
    assert not names & {"torch", "transformers", "lerobot[dataset]", "mujoco", "accelerate", "torchvision"}


def test_every_file_of_requirements_exists_and_its_names_are_pinned(setup_env):
    pins = (ROOT / "constraints" / "python3.12.txt").read_text().lower().replace("_", "-").splitlines()
    for path in setup_env.requirement_files(PROFILES, ROOT, False):
        names = [
            line
            for line in path.read_text().lower().replace("_", "-").splitlines()
            if not line.startswith("#")
        ]
        assert names
        for name in names:
            plain = name.partition("[")[0]
            assert any(pin.startswith(f"{plain}==") for pin in pins), (path.name, name)


def test_all_profiles_together_are_everything(setup_env):
    """So a package of some profile is always there for the tests, too."""
    everything = set(setup_env.requirement_files(["dev"], ROOT, False))
    for profile in PROFILES:
        names = {
            line
            for path in setup_env.requirement_files([profile], ROOT, False)
            for line in path.read_text().splitlines()
            if not line.startswith("#")
        }
        assert names <= {line for path in everything for line in path.read_text().splitlines()}, profile
