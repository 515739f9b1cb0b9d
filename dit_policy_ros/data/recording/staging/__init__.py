# SPDX-License-Identifier: Apache-2.0
"""Prepares the files with which a saved episode becomes part of a LeRobotDataset v3."""

from dit_policy_ros.data.recording.staging._amend import EPISODES, forget_episode, renumber_episodes
from dit_policy_ros.data.recording.staging._stage import check_extendable, stage_episode

__all__ = ["EPISODES", "check_extendable", "forget_episode", "renumber_episodes", "stage_episode"]
