# SPDX-License-Identifier: Apache-2.0
"""A guarded robot without a graph: what it refuses, and what it tells its policy node."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from small_contract import small_contract

from dit_policy_ros.core.errors import DitPolicyError, ParameterError, StaleObservation, StreamError
from dit_policy_ros.ros.commanding import CommandSettings, GuardedRobot, MotionError
from dit_policy_ros.ros.commanding._motion_process import policy_node_command


@pytest.mark.parametrize("pose", [0.3, [0.3], np.zeros(3), np.zeros((1, 4)), np.zeros(0)])
def test_a_pose_of_another_length_moves_no_joint(pose):
    """numpy would give one number to all joints."""
    sent = []
    robot = GuardedRobot(small_contract(), CommandSettings(Path("unused")))
    robot._node = SimpleNamespace(command=sent.append, refuse=sent.append)
    robot._motion = SimpleNamespace(check=lambda: None, alive=True)
    with pytest.raises(ValueError, match="one value for each of the 4 joints"):
        robot.command(pose)
    assert sent == []
    robot.command(np.zeros(4))
    assert len(sent) == 1


def settings(**changes: Any) -> CommandSettings:
    return CommandSettings(Path("unused"), **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"delay": -0.1}, r"delay: expected 0 or more \[s\], got -0.1"),
        ({"delay": float("nan")}, "delay: expected 0 or more"),
        ({"silence": 0.0}, "silence: expected 0.05 or more"),
        ({"silence": float("inf")}, "silence: expected 0.05 or more"),
        ({"wait": -1.0}, "wait: expected 0 or more"),
        ({"parameters": {"follow_parent": "false"}}, "expected none of .*got follow_parent"),
        ({"parameters": {"dry_run": "true", "task": "x"}}, "got task, dry_run"),
    ],
)
def test_settings_with_which_the_arms_would_not_be_guarded_are_refused(changes, expected):
    with pytest.raises(ParameterError, match=expected):
        settings(**changes)


def test_what_is_left_of_a_policy_node_that_has_ended_is_released_before_the_next(monkeypatch):
    """Two command nodes of one name would both answer it."""
    robot, released = GuardedRobot(small_contract(), settings()), []
    robot._motion = SimpleNamespace(alive=False)
    robot._release.callback(lambda: released.append("old"))

    def init(**_: Any) -> None:
        raise RuntimeError(f"released {released}")

    monkeypatch.setattr("dit_policy_ros.ros.commanding._guarded_robot.rclpy.init", init)
    with pytest.raises(RuntimeError, match=r"released \['old'\]"):
        robot.connect()
    robot._motion = SimpleNamespace(alive=True)
    with pytest.raises(DitPolicyError, match="connected already"):
        robot.connect()


def test_a_command_far_outside_the_limits_is_said_once(monkeypatch):
    """The joints of a dataset in degrees would go to their limits without a word."""
    contract = small_contract(limits__left_gripper__prismatic=True, limits__right_gripper__prismatic=True)
    robot, said = GuardedRobot(contract, settings()), []
    robot._node = SimpleNamespace(command=lambda pose: None)
    robot._motion = SimpleNamespace(check=lambda: None, alive=True)
    robot._logger = SimpleNamespace(warning=said.append)
    for left in (1.5, 1.54, 45.0, 46.0, 0.0, -45.0):
        sent = robot.command(np.array([left, 0.0, 0.0, 0.044]))
        assert sent.tolist() == [np.clip(left, -1.5, 1.5), 0.0, 0.0, 0.04]
    assert len(said) == 2 and "left_joint_1 to 45, limited to 1.5" in said[0]
    assert "left_joint_1 to -45" in said[1]
    robot.command(np.array([0.0, 0.046, 0.0, 0.0]))
    assert "left_gripper to 0.046, limited to 0.04" in said[2]


def connected(node: Any, **changes: Any) -> Any:
    """A robot that seems connected to a node."""
    robot: Any = GuardedRobot(small_contract(), settings(**changes))
    robot._node, robot._motion = node, SimpleNamespace(check=lambda: None, alive=True)
    return robot


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_lets_all_arms_hold(value):
    sent, refused = [], []
    robot = connected(SimpleNamespace(command=sent.append, refuse=refused.append))
    with pytest.raises(StreamError, match=r"not finite .* for left_gripper; the arms hold"):
        robot.command(np.array([0.0, value, 0.0, 0.0]))
    assert sent == [] and len(refused) == 1


def test_the_policy_node_is_told_what_its_chunks_are_and_may_be_told_more():
    robot = GuardedRobot(small_contract(), settings(node="mine", parameters={"link_timeout": "3.0"}))
    line = robot._command()
    given = dict(part.split(":=") for part in line if ":=" in part and not part.startswith("__"))
    assert given["actions_are"] == "commands", "they are sent when they are due, not earlier"
    assert (given["inference"], given["dry_run"], given["task"]) == ("external", "false", "commands")
    assert given["link_timeout"] == "3.0", "the user's"
    assert "__node:=mine" in line and not any(part.startswith("__ns") for part in line)
    assert "__ns:=/cell" in policy_node_command(Path("robot.yaml"), "mine", "cell", {})


def test_the_lead_is_the_way_from_an_observation_to_the_next_command():
    robot = connected(SimpleNamespace(newest_ns=None), delay=0.2)
    assert robot.lead == 0.0, "nothing was observed or commanded"
    robot._observed_ns, robot._node.newest_ns = 10**9, 10**9 + 20_000_000
    assert robot.lead == pytest.approx(0.02 + 1 / 30 + 0.2)
    robot._observed_ns = 5 * 10**9
    assert robot.lead == 0.0, "arms that stand"


def test_an_image_is_decoded_once_and_each_time_given_as_a_copy(monkeypatch):
    decoded = []

    def decode(message: str, _: Any) -> np.ndarray:
        decoded.append(message)
        return np.full((2, 2, 3), len(decoded), np.uint8)

    monkeypatch.setattr("dit_policy_ros.ros.commanding._guarded_robot.read_camera_image", decode)
    robot = connected(None)
    robot._image("top", 1, "a")[:] = 99
    assert robot._image("top", 1, "a").max() == 1 and decoded == ["a"]
    assert robot._image("top", 2, "b").max() == 2 and decoded == ["a", "b"]


def test_a_policy_node_that_has_ended_is_said_at_once_while_a_stream_is_stale():
    def stale(_: int) -> None:
        raise StaleObservation("top is 9 s old")

    builder, clock = SimpleNamespace(build=stale), SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=1))
    node = SimpleNamespace(sensors=SimpleNamespace(observations=builder), get_clock=lambda: clock)
    robot = connected(node, wait=0.0)
    with pytest.raises(StreamError, match="no observation for 0 s: top is 9 s old"):
        robot.observe()

    def ended() -> None:
        raise MotionError("it has ended")

    robot._motion.check = ended
    with pytest.raises(MotionError, match="it has ended"):
        robot.observe()
