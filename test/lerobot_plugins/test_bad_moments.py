# SPDX-License-Identifier: Apache-2.0
"""LeRobot's commands that move a robot, stopped or broken at a bad moment: no command breaks a limit."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from controlled_robot import ControlledRobot
from lerobot_runs import (
    AGES,
    POLICY,
    SwingingLeader,
    leader_options,
    robot_options,
    start_lerobot,
    write_motion,
    write_wild_act,
)
from small_contract import write_small_contract
from small_robot import CONTROLLERS, HEIGHT, TASKS, WIDTH, spinning_together
from waiting import wait_for
from watcher import Watcher

from dit_policy_ros.core.child_processes import Child
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos

pytestmark = pytest.mark.slow  # LeRobot's processes import for many seconds
LONG = 400.0  # [s] on a busy computer
COMMANDS = ("teleoperate", "record", "replay", "rollout")
LEAP = 1.0  # [rad]
LINK_TIMEOUT = 3.0  # [s]


@pytest.fixture
def world(ros_domain, tmp_path) -> Iterator[SimpleNamespace]:
    """The robot, its leader, who checks every command, and the states of the policy node."""
    contract = write_small_contract(tmp_path / "robot.yaml", POLICY, **AGES)
    robot, leader, states = ControlledRobot(), SwingingLeader(), []
    watcher = Watcher(tmp_path / "watcher.json", contract)
    robot.create_subscription(PolicyStatus, "lerobot/status", states.append, qos.STATUS)
    with spinning_together(robot, leader, watcher):
        yield SimpleNamespace(robot=robot, leader=leader, watcher=watcher, states=states, contract=contract)


@pytest.fixture
def begin(world, start_process, tmp_path) -> Callable[..., Child]:
    """`begin(command, broken)`: starts a command. Replay's and rollout's actions leap, or are no numbers."""

    def start(command: str, broken: bool = False) -> Child:
        robot = robot_options(world.contract, 60.0, LINK_TIMEOUT)
        leader = leader_options(world.contract, wait=3.0 if broken else LONG)
        if command == "teleoperate":
            options = [*leader, "--fps=30"]
        elif command == "record":
            options = [
                *leader,
                "--dataset.repo_id=local/swings",
                f"--dataset.root={tmp_path / 'swings'}",
                f"--dataset.single_task={TASKS[0]}",
                "--dataset.num_episodes=1",
                "--dataset.episode_time_s=1000",
                "--dataset.push_to_hub=false",
                "--dataset.video=false",
                "--play_sounds=false",
            ]
        elif command == "replay":
            write_motion(tmp_path / "motion", motion(broken))
            options = [
                "--dataset.repo_id=local/motion",
                f"--dataset.root={tmp_path / 'motion'}",
                "--dataset.episode=0",
                "--play_sounds=false",
            ]
        else:
            write_wild_act(tmp_path / "act", HEIGHT, WIDTH, broken=broken)
            options = [f"--policy.path={tmp_path / 'act'}", f"--task={TASKS[0]}"]
        return start_lerobot(start_process, tmp_path, f"lerobot-{command}", *robot, *options)

    return start


def motion(broken: bool) -> np.ndarray:
    """Actions (M, 4) of a swing that leaps to and fro every second, or from then on is no number."""
    seconds = np.arange(30 * 300) / 30
    swing = 0.2 * np.sin(seconds)
    leap = LEAP * (seconds.astype(int) % 2)
    if broken:
        leap[30:] = np.nan
    return np.stack([swing + leap, 0.02 + 0 * swing, -swing, 0.02 + 0 * swing], axis=1)


def violations(world: SimpleNamespace) -> list[str]:
    """Commands that break a limit, are not finite or do not end at rest.

    How late a busy computer delivers them does not count, nor that motion resumes where the arms are then.
    """
    assert world.robot.received, "nothing was commanded"
    return [each for each in world.watcher._violations if ": spans " not in each and " jumps " not in each]


def moved(world: SimpleNamespace, least: float) -> bool:
    return abs(world.robot.positions["left_joint_1"] - 0.02) > least


def at_rest(robot: ControlledRobot) -> bool:
    """Whether every controller has reached the end of its last trajectory, which ends at rest."""
    last = [robot.of(name)[-1].points[-1] for name in CONTROLLERS]
    ends = np.allclose([p.positions[0] for p in last], [robot.command(n) for n in CONTROLLERS], atol=1e-6)
    return bool(ends) and all(list(p.velocities) == [0.0] for p in last)


def state_since(world: SimpleNamespace, since: int, state: int) -> bool:
    return any(each.state == state for each in world.states[since:])


def motion_process(parent: int) -> int:
    """The policy node that a command of LeRobot has started."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            is_child = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            if is_child and b"policy_node" in (folder / "cmdline").read_bytes():
                return int(folder.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError("LeRobot's command has no policy node")


def is_over(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("command", COMMANDS)
def test_a_leap_a_stop_and_a_kill(world, begin, command):
    child = begin(command)
    wait_for(lambda: moved(world, 0.05) or not child.alive, LONG, "the arms do not move")
    assert child.alive, child.output(last_lines=40)
    if command in ("teleoperate", "record"):
        world.leader.offset = LEAP
    wait_for(lambda: moved(world, 0.5) or not child.alive, LONG, "the leap is not followed")
    node = motion_process(child.process.pid)

    os.kill(child.process.pid, signal.SIGSTOP)
    stopped = len(world.states)
    try:
        wait_for(lambda: state_since(world, stopped, PolicyStatus.HOLD), LONG, "no hold")
        wait_for(lambda: at_rest(world.robot), LONG, "the arms do not come to rest")
    finally:
        os.kill(child.process.pid, signal.SIGCONT)
    seen = len(world.states)
    wait_for(lambda: state_since(world, seen, PolicyStatus.RUNNING), LONG, "it does not go on")

    child.process.kill()
    wait_for(lambda: is_over(node), LONG, "the policy node does not end after LeRobot's command")
    wait_for(lambda: at_rest(world.robot), LONG, "the arms do not come to rest")
    assert violations(world) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_an_action_that_is_no_number(world, begin, command):
    child = begin(command, broken=True)
    if command in ("teleoperate", "record"):
        wait_for(lambda: moved(world, 0.05) or not child.alive, LONG, "the arms do not move")
        assert child.alive, child.output(last_lines=40)
        world.leader.broken = True
    wait_for(lambda: not child.alive, LONG, "the command does not end", interval=0.5)
    assert child.process.returncode not in (0, None)
    assert "not finite" in child.output(), child.output(last_lines=40)
    assert at_rest(world.robot)
    assert violations(world) == []
