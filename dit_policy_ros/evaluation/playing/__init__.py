# SPDX-License-Identifier: Apache-2.0
"""Moves the robot, or the simulated one, through an episode or to its rest pose, by a policy node."""

from dit_policy_ros.evaluation.playing._episode import checked_episode
from dit_policy_ros.evaluation.playing._home import home_episode, home_running_node
from dit_policy_ros.evaluation.playing._play import PlaySettings, play

__all__ = ["PlaySettings", "checked_episode", "home_episode", "home_running_node", "play"]
