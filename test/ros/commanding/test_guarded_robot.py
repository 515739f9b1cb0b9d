# SPDX-License-Identifier: Apache-2.0
"""A program that commands a robot through a policy node: the arms keep the limits, or hold."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from controlled_robot import ControlledRobot
from small_contract import small_contract, write_small_contract
from small_robot import CONTROLLERS, SmallRobot, spinning_together
from waiting import wait_for
from watcher import Watcher

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.commanding import CommandSettings, GuardedRobot, MotionError
from dit_policy_ros.ros.common import qos

pytestmark = pytest.mark.slow  # a policy node in a process of its own
SUPPORT = Path(__file__).parents[2] / "support" / "ros"
LONG = 180.0  # [s] on a busy computer
POLICY = {
    "soft_start": 0.2,
    "recovery_time": 0.2,
    "stream_timeout": LONG,
    "pose_tolerance": 0.05,
    "plan_horizon": 0.9,  # so that a plan that a busy computer delivers late is not over
}
# A busy computer may take long for a round of a loop; that is not what these tests are about.
AGES = {"joint_states__max_age": 5.0, "cameras__top__max_age": 5.0}
LINK_TIMEOUT = 3.0  # [s]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_small_contract(tmp_path / "robot.yaml", POLICY, **AGES)


@pytest.fixture
def world(ros_domain, config, tmp_path) -> Iterator[SimpleNamespace]:
    """The robot, the states of the policy node as they are published, and who checks every command."""
    robot, watcher, states = ControlledRobot(), Watcher(tmp_path / "watcher.json", config), []
    robot.create_subscription(PolicyStatus, "lerobot/status", states.append, qos.STATUS)
    with spinning_together(robot, watcher):
        yield SimpleNamespace(robot=robot, states=states, watcher=watcher)


def violations(world: SimpleNamespace) -> list[str]:
    """Commands that break a limit, are not finite or do not end at rest.

    How late a busy computer delivers them does not count, nor that motion resumes where the arms are then.
    """
    assert world.robot.received, "nothing was commanded"
    return [each for each in world.watcher._violations if ": spans " not in each and " jumps " not in each]


def guarded(config: Path) -> GuardedRobot:
    settings = CommandSettings(
        config, wait=LONG, silence=LONG, parameters={"link_timeout": f"{LINK_TIMEOUT}"}
    )
    return GuardedRobot(small_contract(**AGES), settings)


def test_observations_are_complete_and_commands_are_followed(world, config):
    robot = guarded(config)
    robot.connect()
    try:
        state = robot.observe()
        assert state.images["top"].shape == (30, 40, 3)
        np.testing.assert_allclose(state.joints, 0.02, atol=1e-3)
        target = np.array([0.3, 0.03, -0.3, 0.01])

        def arrives() -> bool:
            robot.command(target)
            return bool(np.allclose(robot.observe().joints, target, atol=2e-3))

        wait_for(arrives, LONG, "the commands are not followed", interval=1 / 30)
        np.testing.assert_allclose(robot.command(np.full(4, 9.0)), [1.5, 0.04, 1.5, 0.04])
    finally:
        robot.close()
    assert not robot.connected
    assert violations(world) == []


def test_a_robot_that_is_not_safe_to_start_is_refused_with_the_reason(world, config):
    world.robot.sag["left_joint_1"] = -1.9  # [rad] its limit is 1.5
    robot = guarded(config)
    with pytest.raises(MotionError, match=r"(?s)could not be activated.*left_joint_1"):
        robot.connect()
    assert not robot.connected and not world.robot.received


@pytest.fixture
def program(world, config, start_process):
    """Starts the program with a fault; returns its process, once it moves the robot, and the policy node."""

    def begin(fault: str = "") -> SimpleNamespace:
        arguments = [sys.executable, str(SUPPORT / "commanding_program.py"), str(config)]
        child = start_process("program", *arguments, *([fault] if fault else []))
        wait_for(lambda: "moves " in child.output() or not child.alive, LONG, "the program does not come up")
        assert child.alive, child.output()
        motion = int(child.output().partition("moves ")[2].split()[0])
        wait_for(lambda: moved(world.robot, 0.05), LONG, "the arms do not move")
        return SimpleNamespace(child=child, motion=motion)

    return begin


def moved(robot: SmallRobot, least: float) -> bool:
    return abs(robot.positions["left_joint_1"] - 0.02) > least


def held(world: SimpleNamespace, reason: str, since: int = 0) -> PolicyStatus:
    """The first state, of those from ``since`` on, of a hold with that reason."""

    def found() -> PolicyStatus | None:
        holds = [each for each in world.states[since:] if each.state == PolicyStatus.HOLD]
        return next((each for each in holds if reason in each.hold_reason), None)

    return wait_for(found, LONG, f"no hold because of {reason!r}")


def is_over(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def at_rest(robot: ControlledRobot) -> bool:
    """Whether every controller has reached the end of its last trajectory."""
    ends = [robot.of(name)[-1].points[-1].positions[0] for name in CONTROLLERS]
    return bool(np.allclose(ends, [robot.command(name) for name in CONTROLLERS], atol=1e-6))


def test_a_program_that_is_killed_leaves_a_robot_that_holds(world, program):
    running = program()
    running.child.process.kill()
    wait_for(lambda: is_over(running.motion), LONG, "the policy node does not end after its parent")
    wait_for(lambda: at_rest(world.robot), LONG, "the arms do not come to rest")
    last = world.robot.of("left_arm_controller")[-1].points[-1]
    assert list(last.velocities) == [0.0], "the last trajectory ends at rest"
    assert violations(world) == []


def test_a_program_that_stands_still_holds_the_arms_and_goes_on_softly(world, program):
    running = program()
    os.kill(running.child.process.pid, signal.SIGSTOP)
    stopped = len(world.states)
    try:
        assert held(world, "inference lost", since=stopped).hold_recoverable
        wait_for(lambda: at_rest(world.robot), LONG, "the arms do not come to rest")
    finally:
        os.kill(running.child.process.pid, signal.SIGCONT)
    seen = len(world.states)
    wait_for(
        lambda: any(each.state == PolicyStatus.RUNNING for each in world.states[seen:]),
        LONG,
        "the arms do not follow the program again",
    )
    assert violations(world) == []


def test_a_command_that_is_no_number_holds_the_arms_for_good(world, program):
    running = program("nan")
    assert not held(world, "not finite (NaN or infinite) for left_joint_1").hold_recoverable
    assert "the arms hold" in running.child.output()
    assert violations(world) == []


def test_a_leap_is_a_motion_within_the_limits(world, program):
    program("leap")
    wait_for(
        lambda: abs(world.robot.positions["left_joint_1"] - 1.02) < 0.01, LONG, "the leap is not followed"
    )
    assert violations(world) == []


def test_a_second_program_of_one_name_is_refused_and_the_first_one_goes_on(world, config, monkeypatch):
    """Both nodes answer the services of that name."""
    monkeypatch.setattr("dit_policy_ros.ros.commanding._motion_process._ALONE_WITHIN", 3.0)
    first, second = guarded(config), guarded(config)
    first.connect()
    try:
        with pytest.raises(MotionError, match="another policy node is called lerobot"):
            second.connect()
        assert not second.connected
        wait_for(lambda: follows(first, 0.3), LONG, "the first one does not go on", interval=1 / 30)
    finally:
        first.close()
    assert violations(world) == []


def test_a_robot_whose_policy_node_was_killed_can_be_connected_again(world, config):
    robot = guarded(config)
    robot.connect()
    try:
        os.kill(robot.motion.pid, signal.SIGKILL)
        wait_for(lambda: not robot.connected, LONG, "it does not end")
        with pytest.raises(MotionError, match=r"was killed by SIGKILL"):
            robot.command(np.full(4, 0.02))
        robot.connect()
        wait_for(lambda: follows(robot, 0.3), LONG, "it is not followed", interval=1 / 30)
    finally:
        robot.close()
    assert violations(world) == []


def test_a_policy_node_that_stands_still_ends_the_programs_loop(world, config, monkeypatch):
    monkeypatch.setattr("dit_policy_ros.ros.commanding._motion_process._SILENT", 3.0)
    robot = guarded(config)
    robot.connect()
    try:
        os.kill(robot.motion.pid, signal.SIGSTOP)
        with pytest.raises(MotionError, match="has said nothing for 3 s"):
            wait_for(lambda: follows(robot, 0.3), LONG, "nobody notices", interval=1 / 30)
        os.kill(robot.motion.pid, signal.SIGCONT)
    finally:
        robot.close()


def follows(robot: GuardedRobot, left: float) -> bool:
    """Send the first joint to a place; whether it is there."""
    robot.command(np.array([left, 0.02, 0.02, 0.02]))
    return abs(robot.observe().joints[0] - left) < 2e-3
