# SPDX-License-Identifier: Apache-2.0
"""What a recorded episode is made of: frames, actions, and the check of its quality.

The recorder node and the bag converter use the same code.
"""

from dit_policy_ros.core.recording._action_source import (
    ActionSource,
    CommandedActions,
    HeldActions,
    LeaderActions,
)
from dit_policy_ros.core.recording._command_stream import CommandedTrajectory, CommandStream
from dit_policy_ros.core.recording._episode_check import Thresholds, Verdict, judge
from dit_policy_ros.core.recording._episode_sampler import EpisodeFrame, EpisodeSampler

__all__ = [
    "ActionSource",
    "CommandStream",
    "CommandedActions",
    "CommandedTrajectory",
    "EpisodeFrame",
    "EpisodeSampler",
    "HeldActions",
    "LeaderActions",
    "Thresholds",
    "Verdict",
    "judge",
]
