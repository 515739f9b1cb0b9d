# SPDX-License-Identifier: Apache-2.0
"""Repeats an incident offline: its chunks with the policy, its commands with the motion pipeline."""

from dit_policy_ros.evaluation.replay._chunks import ChunkComparison, repeat_chunks, replay_policy
from dit_policy_ros.evaluation.replay._motion import MotionComparison, replay_motion, write_commands
from dit_policy_ros.evaluation.replay._picture import plot_motion
from dit_policy_ros.evaluation.replay._traces import JointTraces, joint_traces

__all__ = [
    "ChunkComparison",
    "JointTraces",
    "MotionComparison",
    "joint_traces",
    "plot_motion",
    "repeat_chunks",
    "replay_motion",
    "replay_policy",
    "write_commands",
]
