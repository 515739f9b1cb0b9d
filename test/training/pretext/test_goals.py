# SPDX-License-Identifier: Apache-2.0
"""Where a demonstration was going: its next grasp or release, or its end."""

import dataclasses

import numpy as np
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import ACTION_DIM, STATE_DIM

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.training.pretext import next_goals

LENGTH = 60
OPENS, CLOSES, RELEASES = 5, 25, 45  # frames at which the gripper begins to move


def demonstrations(episodes: int = 2) -> Demonstrations:
    """Joints move at a steady rate all the time; the gripper opens at the start, grasps and releases."""
    data = tiny_demonstrations(episodes=episodes, length=LENGTH)
    frame = np.arange(LENGTH)
    width = np.interp(
        frame, (OPENS, OPENS + 4, CLOSES, CLOSES + 8, RELEASES, RELEASES + 8), (0, 1, 1, 0, 0, 1)
    )
    action = np.zeros((LENGTH, ACTION_DIM), np.float32)
    action[:, -1] = 0.04 * width
    state = np.repeat(0.01 * frame[:, None], STATE_DIM, axis=1).astype(np.float32)
    steps = 0.001 * np.arange(episodes * LENGTH, dtype=np.float32)[:, None]  # no two states are the same
    return dataclasses.replace(
        data,
        state=np.tile(state, (episodes, 1)) + steps,
        action=np.tile(action, (episodes, 1)),
        state_names=("a", "b", "c", "d", "left_gripper"),
        action_names=("a", "b", "c", "left_gripper"),
    )


def goals_of(data: Demonstrations) -> list[int]:
    """The frame of each frame's goal."""
    found = next_goals(data, np.arange(len(data.state)))
    return [int(np.flatnonzero((data.state == goal).all(axis=1))[0]) for goal in found]


def test_goals_are_grasp_release_and_end_and_the_last_frame_stays() -> None:
    goals = goals_of(demonstrations())
    one = [
        *[goals[0]] * goals[0],
        *[goals[30]] * (goals[30] - goals[0]),
        *[LENGTH - 1] * (LENGTH - goals[30]),
    ]
    assert goals == [*one, *(LENGTH + goal for goal in one)]
    # Seen as soon as the commands of the next 0.1 s (3 frames) move it.
    assert CLOSES - 3 < goals[0] <= CLOSES and RELEASES - 3 < goals[30] <= RELEASES


def test_a_gripper_that_opens_before_the_arm_has_left_is_no_goal() -> None:
    """So goals do not say that an arm at rest is where it was going."""
    data = demonstrations()
    joints = data.state.copy()
    joints[:, :4] *= 4.0  # the arm has left its start by the time the gripper opens
    left = dataclasses.replace(data, state=joints)
    assert goals_of(data)[0] > OPENS and OPENS - 3 < goals_of(left)[0] <= OPENS


def test_without_a_gripper_the_end_is_the_goal() -> None:
    for names in (("a", "b", "c", "d"), None):
        assert (
            goals_of(dataclasses.replace(demonstrations(), action_names=names))
            == [LENGTH - 1] * LENGTH + [2 * LENGTH - 1] * LENGTH
        )


def test_joints_without_names_count_all_as_the_arm() -> None:
    data = demonstrations()
    assert goals_of(dataclasses.replace(data, state_names=None)) == goals_of(data)


def test_a_gripper_that_never_moves_is_no_goal() -> None:
    data = demonstrations()
    still = dataclasses.replace(data, action=np.zeros_like(data.action))
    assert goals_of(still)[0] == LENGTH - 1
