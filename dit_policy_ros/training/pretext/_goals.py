# SPDX-License-Identifier: Apache-2.0
"""Where a demonstration was going: the state at its next grasp or release, or at its end.

The coming motion depends on where the arm is, so a network can tell much of it from the arm alone. The next
goal is the same all the way to it, wherever the arm is: to tell it, the network has to find the object. Goals
are found as James and Davison find keyframes (arXiv 2105.14829), where a gripper begins to move; their second
rule, that the arm stands still, is left out, since an operator who waits has no goal there.

Shapes: M frames of the data, K of them that are used, D state entries, J joints that are no grippers,
G grippers.
"""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.training.batches import GRIPPER

_WITHIN = 0.1  # [s]
_SHARE = 0.06  # of a gripper's range, by which it is commanded to move within that time
_RANGE = (0.01, 0.99)  # quantiles of its commands
_AWAY = 0.1  # [rad, m] that a joint has moved since the episode began; before, a gripper only gets ready


def next_goals(data: Demonstrations, frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """The state at the goal after each frame: (K,) -> (K, D)."""
    episode = data.episode_index  # (M,)
    is_goal = np.append(episode[1:] != episode[:-1], True)  # (M,) the ends
    names = data.action_names or ()
    grippers = [number for number, name in enumerate(names) if GRIPPER in name]
    if grippers:
        is_goal |= _begins_to_move(data, grippers)
    goals = np.flatnonzero(is_goal)
    following = goals[np.searchsorted(goals, frames, side="right").clip(max=len(goals) - 1)]
    last = np.searchsorted(episode, episode[frames], side="right") - 1
    return data.state[np.minimum(following, last)]


def _begins_to_move(data: Demonstrations, grippers: list[int]) -> NDArray[np.bool_]:
    """Where a gripper is first commanded to move, by an arm that has left its start: (M,)."""
    episode, ahead = data.episode_index, max(1, round(_WITHIN * data.fps))
    commands = data.action[:, grippers]  # (M, G)
    low, high = np.quantile(commands, _RANGE, axis=0)
    moves = np.abs(commands[ahead:] - commands[:-ahead]) > _SHARE * np.maximum(
        high - low, np.finfo(float).eps
    )
    is_moving = np.zeros(len(episode), dtype=bool)
    is_moving[:-ahead] = moves.any(axis=1) & (episode[ahead:] == episode[:-ahead])
    goes_on = np.append(False, is_moving[:-1] & (episode[1:] == episode[:-1]))
    names = data.state_names or ("",) * data.state.shape[1]
    joints = [number for number, name in enumerate(names) if GRIPPER not in name]
    positions = data.state[:, joints]  # (M, J)
    has_left = (np.abs(positions - positions[np.searchsorted(episode, episode)]) > _AWAY).any(axis=1)
    return is_moving & ~goes_on & has_left
