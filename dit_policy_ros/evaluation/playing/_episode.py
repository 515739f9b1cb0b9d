# SPDX-License-Identifier: Apache-2.0
"""Compares a recorded episode with the robot that is to repeat it, before anything moves."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY
from dit_policy_ros.core.policy_interface import joint_actions
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.data.dataset import read_episode
from dit_policy_ros.policy.episode import RecordedEpisode

_APPROACH_SHARE = 0.2  # of the velocity limits, on the way to the first pose
_PEAK_SPEED = 1.875  # of a quintic over 1 in 1 s
_TOLERANCE = 1e-3  # [rad or m] that an action may be beyond a position limit: stored as float32
_QUICKER = 2.0  # times the velocity limit is a jump, as in the recorder's check


def checked_episode(root: Path, index: int, contract: Contract) -> RecordedEpisode:
    """The episode as actions of the contract's joints.

    Raises:
        DatasetError: there is no such episode, or it does not fit the contract: rate, joints, position limits
            or jumps. The message lists all.
        CheckpointError: entries that belong to no joint.
    """
    if not contract.layout.is_identity:
        raise DatasetError("play moves joints only: the contract has arms whose controllers take poses")
    read = read_episode(root, index)
    if ACTION_KEY not in read.vectors:
        raise DatasetError(f"dataset {root} has no actions")
    names, recorded = read.vectors[ACTION_KEY]  # (N, D)
    problems = Problems(f"episode {index} of {root} compared with the robot contract")
    if abs(read.fps - contract.fps) > 1e-3:
        problems.add("fps", f"{contract.fps:g} Hz as in the contract", f"{read.fps:g} Hz in the dataset")
    actions = joint_actions(recorded, names, contract.joints, contract.dataset_names)  # (N, A)
    limits = contract.limits
    for joint, name in enumerate(contract.joints):
        values = actions[:, joint]  # (N,)
        low, high = limits.position_min[joint], limits.position_max[joint]
        if values.min() < low - _TOLERANCE or values.max() > high + _TOLERANCE:
            problems.add(
                f"limits.{name}",
                f"actions from {low:g} to {high:g}",
                f"{values.min():.4g} to {values.max():.4g}",
            )
        steps = np.abs(np.diff(values))  # (N - 1,)
        fastest = _QUICKER * limits.velocity[joint] / contract.fps
        if len(steps) and steps.max() > fastest:
            problems.add(
                f"limits.{name}.velocity",
                f"steps of at most {fastest:.3g} from action to action",
                f"{steps.max():.3g} at action {int(steps.argmax()) + 1}",
            )
    problems.raise_if_any(DatasetError, "The episode does not fit this robot")
    return slow_episode(actions, contract, read.tasks[-1])


def slow_episode(actions: NDArray[np.float64], contract: Contract, task: str) -> RecordedEpisode:
    """Actions (N, A) of the contract's joints [rad or m], with a slow way to the first one."""
    limits = contract.limits
    speed = _APPROACH_SHARE * limits.velocity  # (A,)
    furthest = np.where(limits.continuous, np.pi, limits.position_max - limits.position_min)  # (A,)
    longest = _PEAK_SPEED * float((1.1 * furthest / speed).max())  # [s]; a joint may be a little outside
    return RecordedEpisode(
        actions=actions.astype(np.float32),
        joints=contract.joints,
        fps=contract.fps,
        task=task,
        approach_speed=speed.astype(np.float32),
        approach_rows=math.ceil(longest * contract.fps) + 1,
    )
