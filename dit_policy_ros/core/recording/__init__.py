# SPDX-License-Identifier: Apache-2.0
"""Samples episodes from sensor streams and commands, and checks their quality.

The recorder node and the bag converter share this code.
"""

from dit_policy_ros.core.recording._action_source import (
    ActionSource,
    CommandedActions,
    LeaderActions,
    TopicActions,
)
from dit_policy_ros.core.recording._command_stream import CommandedTrajectory, CommandStream
from dit_policy_ros.core.recording._control_track import CONTROL, CONTROLLERS, UNKNOWN, Control, ControlTrack
from dit_policy_ros.core.recording._demonstrated_limits import DemonstratedLimits, demonstrated_limits
from dit_policy_ros.core.recording._episode_check import CheckThresholds, EpisodeCheck, check_episode
from dit_policy_ros.core.recording._episode_sampler import EpisodeFrame, EpisodeSampler
from dit_policy_ros.core.recording._losses import StreamLosses

__all__ = [
    "CONTROL",
    "CONTROLLERS",
    "UNKNOWN",
    "ActionSource",
    "CheckThresholds",
    "CommandStream",
    "CommandedActions",
    "CommandedTrajectory",
    "Control",
    "ControlTrack",
    "DemonstratedLimits",
    "EpisodeCheck",
    "EpisodeFrame",
    "EpisodeSampler",
    "LeaderActions",
    "StreamLosses",
    "TopicActions",
    "check_episode",
    "demonstrated_limits",
]
