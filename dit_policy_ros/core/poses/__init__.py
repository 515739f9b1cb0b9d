# SPDX-License-Identifier: Apache-2.0
"""Poses of end effectors: forms of rotations, coordinates for the motion path, entries of a dataset.

Rotation matrices have shape (..., 3, 3); quaternions (..., 4) are in the order of ROS: x, y, z, w.
"""

from dit_policy_ros.core.poses._chart import (
    COORDINATES,
    ENTRIES,
    ROTATION_ENTRIES,
    PoseChart,
)
from dit_policy_ros.core.poses._entry_layout import EntryLayout, rotation_columns
from dit_policy_ros.core.poses._pose_arm import EDGE, MAX_ROTATION, PoseArm, axis_limits, turning_acceleration
from dit_policy_ros.core.poses._rotations import (
    MAX_CORRECTION,
    matrix_from_6d,
    matrix_from_quaternion,
    quaternion_from_matrix,
    rotation_6d,
    rotation_angle,
    rotation_from_vector,
    rotation_vector,
)

__all__ = [
    "COORDINATES",
    "EDGE",
    "ENTRIES",
    "MAX_CORRECTION",
    "MAX_ROTATION",
    "ROTATION_ENTRIES",
    "EntryLayout",
    "PoseArm",
    "PoseChart",
    "axis_limits",
    "matrix_from_6d",
    "matrix_from_quaternion",
    "quaternion_from_matrix",
    "rotation_6d",
    "rotation_angle",
    "rotation_columns",
    "rotation_from_vector",
    "rotation_vector",
    "turning_acceleration",
]
