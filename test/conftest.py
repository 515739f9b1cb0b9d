# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests.

Plain helper functions are in test/support/, for example `from waiting import wait_for` and
`from ros_testing import spinning, call`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import wait_for as poll

from dit_policy_ros.core.child_processes import Child, start

ROOT = Path(__file__).resolve().parents[1]
CHILDREN = pytest.StashKey[list[Child]]()


@pytest.fixture
def wait_for():
    return poll


@pytest.fixture
def ros_domain(monkeypatch, tmp_path) -> Iterator:
    """A ROS domain for this test only: rclpy is initialised in it, and child processes inherit it.

    Yields a `ros_testing.RosDomain`. At the end the context is shut down with all nodes that are left.
    """
    rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")
    from ros_testing import RosDomain

    from dit_policy_ros.evaluation.session import claimed_domain

    with claimed_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
        monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros_home"))
        rclpy.init(domain_id=domain, signal_handler_options=rclpy.SignalHandlerOptions.NO)
        try:
            yield RosDomain(domain, rclpy.get_default_context())
        finally:
            rclpy.try_shutdown()


@pytest.fixture
def start_process(request, tmp_path) -> Iterator[Callable[..., Child]]:
    """`start_process(name, *command, **environment)`: starts a child process that is stopped with the test.

    A command that begins with a module name ("dit_policy_ros.ros.sim.sim_node") runs with this interpreter
    from the source tree. If the test fails, its output is added to the report.
    """
    children = request.node.stash.setdefault(CHILDREN, [])

    def begin(name: str, *command: str, **environment: str) -> Child:
        if command[0].startswith("dit_policy_ros."):
            command = (sys.executable, "-m", *command)
        path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
        merged = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **environment}
        child = start(name, command, merged, tmp_path / f"{name}.{len(children)}.log")
        children.append(child)
        return child

    yield begin
    for child in reversed(children):
        child.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for child in item.stash.get(CHILDREN, []):
            state = "running" if child.alive else f"exit code {child.process.returncode}"
            report.sections.append((f"output of {child.name} ({state})", child.output()))
    return report
