# SPDX-License-Identifier: Apache-2.0
"""The three ways to install the package, each for real: pip, colcon build, colcon build --symlink-install."""

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


# The copying build differs from the linking one in its last step only, so one of them is in the quick suite.
@pytest.mark.parametrize("mode", ["symlink", pytest.param("copy", marks=pytest.mark.slow)])
def test_colcon_build(tmp_path, mode):
    if not Path(sys.executable).with_name("colcon").exists() and not shutil.which("colcon"):
        pytest.skip("colcon is not installed")
    printed = succeed(sys.executable, TOOLS / "colcon_check.py", "--mode", mode, "--workspace", tmp_path)
    assert "policy_node" in printed


def test_what_pip_installed_here_is_whole():
    """`make setup` made the environment that runs this by `pip install .`; the long tests build another."""
    prefix = Path(sys.prefix)
    if not any(prefix.glob("lib/python3*/site-packages/dit_policy_ros-*.dist-info")):
        pytest.skip("the package is not installed by pip in this environment")
    succeed(sys.executable, TOOLS / "check_install.py", prefix, PYTHONPATH="")
    assert "policy_node" in succeed(prefix / "bin" / "dit_policy", "--help", PYTHONPATH="")


@pytest.mark.slow
def test_pip_install(tmp_path):
    colcon_check = load_tool("colcon_check")
    source, prefix = tmp_path / "source", tmp_path / "prefix"
    colcon_check.copy_source(source)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    apart = ["--ignore-installed", "--prefix", prefix]  # without the first, pip removes the copy in .venv
    succeed(*pip, *apart, source, **colcon_check.environment())
    installed = {
        "PYTHONPATH": str(next(prefix.glob("lib/python3*/site-packages"))),
        "LD_LIBRARY_PATH": f"{prefix}/lib:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "AMENT_PREFIX_PATH": f"{prefix}:{os.environ.get('AMENT_PREFIX_PATH', '')}",
    }
    succeed(sys.executable, TOOLS / "check_install.py", prefix, **installed)
    assert "policy_node" in succeed(prefix / "bin" / "dit_policy", "--help", **installed)


@pytest.mark.slow
def test_the_check_notices_what_is_missing(tmp_path):
    """The tests above mean nothing unless the checker fails on an empty prefix."""
    command = [sys.executable, TOOLS / "check_install.py", tmp_path]
    environment = {**load_tool("colcon_check").environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "was imported from" in done.stderr
    assert "missing or not executable" in done.stderr
