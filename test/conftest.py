# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests.

Plain helper functions are in test/support/, for example `from waiting import wait_for` and
`from ros_testing import spinning, call`.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from no_real_time import give_up_real_time
from waiting import wait_for as poll

from dit_policy_ros.core.child_processes import Child, start

ROOT = Path(__file__).resolve().parents[1]
# Simulator, cameras and policy in real time, in several processes: two of these at once would be late.
WHOLE_SYSTEM = {
    f"test/{each}"
    for each in (
        "bench/test_benches.py", "cli/robot/test_calibrate.py", "cli/robot/test_doctor.py",
        "cli/test_demo.py",
        "cli/test_evaluate.py", "docs/test_tutorials.py", "evaluation/panel/test_page.py",
        "evaluation/panel/test_endpoints.py", "evaluation/panel/test_page_shows.py",
        "evaluation/playing/test_play.py", "ros/policy/test_takeover_by_trajectories.py",
        "ros/sim/test_reset.py",
        "ros/sim/test_teleop.py", "ros/test_faults.py", "ros/test_ready_robots.py",
        "ros/test_taking_over.py", "ros/test_two_robots.py", "ros/test_whole_loop.py",
        "ros/test_pose_arms.py",
        "ros/commanding/test_guarded_robot.py", "lerobot_plugins/test_bad_moments.py",
        "lerobot_plugins/test_commands.py", "lerobot_plugins/test_rollouts.py",
        "lerobot_plugins/test_pose_robot.py",
    )
}  # fmt: skip
# How long an example takes says how busy the computer is, and nothing about the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
# A job in a shell's background ignores Ctrl-C, and so would the programs that tests stop with it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
CHILDREN = pytest.StashKey[list[Child]]()
STDERR = pytest.StashKey[int]()
SLOW_TIMEOUT = 3600.0  # [s]; the others' is `timeout` in pyproject.toml
WORTH_A_LINE = 60.0  # [s]


def pytest_configure(config: pytest.Config) -> None:
    give_up_real_time()
    config.stash[STDERR] = os.dup(2)  # while a test runs, 2 is pytest's own file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Tests of a file share fixtures, so one process runs them; `WHOLE_SYSTEM` counts as one file."""
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:  # the method that xdist's own schedulers override
            file = nodeid.split("::")[0]
            return "whole system" if file in WHOLE_SYSTEM else file

    return Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def follows(item: pytest.Item) -> bool:
        return str(item.path.relative_to(ROOT)) not in WHOLE_SYSTEM

    items.sort(key=follows)  # the largest group first: other processes run the rest meanwhile
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    """Ends the process of a test that hangs where pytest-timeout cannot end the test: inside of a library.

    pytest-timeout raises in the test, which needs Python to go on. The watchdog of faulthandler does not.
    """
    mark = item.get_closest_marker("timeout")
    limit = float(mark.args[0] if mark else item.config.getini("timeout"))
    faulthandler.dump_traceback_later(1.2 * limit, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Says at once which tests take long: a run that somebody stops has no list of durations."""
    if report.duration > WORTH_A_LINE and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stdout.write(f"\n{time.strftime('%H:%M:%S')} {report.nodeid} took {report.duration:.0f} s\n")


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
            is_there = (
                child.log is not None and child.log.exists()
            )  # gone with the folder of a test that passed
            said = child.output() if is_there else "its log is gone"
            report.sections.append((f"output of {child.name} ({state})", said))
    return report
