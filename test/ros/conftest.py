# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the nodes' tests."""

import contextlib

import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A tiny checkpoint that fits the small robot."""
    from small_robot import tiny_checkpoint

    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture
def world(ros_domain, start_process, tmp_path):
    """Simulator, policy and a watcher of all commands, which finds nothing at the end."""
    from fault_world import Relay, World
    from ros_testing import spinning

    relay = Relay()
    with spinning(relay):
        made = World(relay, start_process, tmp_path)
        yield made
        assert made.violations() == []
        assert made.relay.referee["nan_commands"] == "0"
        rejected = [line for line in made.sim.output().splitlines() if "rejects a trajectory" in line]
        assert not [line for line in rejected if "ends in the past" not in line]


@pytest.fixture
def make_node(ros_domain, tmp_path):
    """`make_node(mapping, **settings)` makes a recorder; mapping: its contract, the small one by default."""
    from contracts import SMALL_MAPPING
    from recording_session import parameter_file

    from dit_policy_ros.ros.recorder.recorder_node import RecorderNode

    def make(mapping: dict | None = None, **settings) -> RecorderNode:
        values = {"dataset": str(tmp_path / "dataset"), "min_free_space": 0.0} | settings
        file = parameter_file(tmp_path, mapping or SMALL_MAPPING, **values)
        return RecorderNode(cli_args=["--ros-args", "--params-file", str(file)])

    return make


@pytest.fixture
def start_session(make_node):
    """`start_session(mapping, silent, **settings)` makes a Session with an active recorder.

    silent: names of the streams that the robot does not publish.
    """
    from recording_session import Session
    from small_robot import spinning_together
    from teleoperated import TeleoperatedRobot

    with contextlib.ExitStack() as stack:

        def start(mapping: dict | None = None, silent: set[str] | None = None, **settings) -> Session:
            robot, node = TeleoperatedRobot(), make_node(mapping, **settings)
            robot.silent |= silent or set()
            session = Session(robot, node)
            stack.enter_context(spinning_together(robot, node, threads=8))
            assert node.trigger_configure().name == "SUCCESS"
            assert node.trigger_activate().name == "SUCCESS"
            return session

        yield start
