# SPDX-License-Identifier: Apache-2.0
"""Poses of end effectors in messages: the measured ones, and the targets of their controllers."""

from dit_policy_ros.ros.poses._messages import PoseReader, pose_message

__all__ = ["PoseReader", "pose_message"]
