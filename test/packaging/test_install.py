# SPDX-License-Identifier: Apache-2.0
"""Installs the package in all three ways: pip, colcon build, colcon build --symlink-install."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ament_index_python", reason="neither ROS 2 nor its wheels are installed")
ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"


def load_tool(name: str):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def succeed(*command: str | Path, **environment: str) -> str:
    merged = {**os.environ, **environment}
    done = subprocess.run(
        list(map(str, command)), cwd="/", env=merged, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow  # each build takes 40 s
@pytest.mark.parametrize("mode", ["symlink", "copy"])
def test_colcon_build(tmp_path, mode):
    if not Path(sys.executable).with_name("colcon").exists() and not shutil.which("colcon"):
        pytest.skip("colcon is not installed")
    printed = succeed(sys.executable, TOOLS / "colcon_check.py", "--mode", mode, "--workspace", tmp_path)
    assert "policy_node" in printed


def test_the_package_in_this_environment_is_complete():
    """`make setup` ran `pip install .` in this environment; `test_pip_install` makes a new installation."""
    prefix = Path(sys.prefix)
    if not any(prefix.glob("lib/python3*/site-packages/dit_policy_ros-*.dist-info")):
        pytest.skip("pip has not installed the package in this environment")
    succeed(sys.executable, TOOLS / "check_install.py", prefix, PYTHONPATH="")
    assert "policy_node" in succeed(prefix / "bin" / "dit_policy", "--help", PYTHONPATH="")


@pytest.mark.slow
def test_pip_install(tmp_path):
    colcon_check = load_tool("colcon_check")
    source, prefix = tmp_path / "source", tmp_path / "prefix"
    colcon_check.copy_source(source)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    # Without --ignore-installed, pip removes the copy in .venv.
    options = ["--ignore-installed", "--prefix", prefix]
    succeed(*pip, *options, source, **colcon_check.environment())
    installed = {
        "PYTHONPATH": str(next(prefix.glob("lib/python3*/site-packages"))),
        "LD_LIBRARY_PATH": f"{prefix}/lib:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "AMENT_PREFIX_PATH": f"{prefix}:{os.environ.get('AMENT_PREFIX_PATH', '')}",
    }
    succeed(sys.executable, TOOLS / "check_install.py", prefix, **installed)
    assert "policy_node" in succeed(prefix / "bin" / "dit_policy", "--help", **installed)


@pytest.mark.slow
def test_the_check_fails_for_an_empty_prefix(tmp_path):
    """Shows that check_install.py, which the other tests rely on, can fail."""
    command = [sys.executable, TOOLS / "check_install.py", tmp_path]
    environment = {**load_tool("colcon_check").environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "was imported from" in done.stderr
    assert "missing or not executable" in done.stderr
