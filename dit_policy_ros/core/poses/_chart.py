# SPDX-License-Identifier: Apache-2.0
"""Poses as six coordinates around a reference orientation, as the motion path needs them.

The coordinates are the position, and the rotation vector from the reference orientation, in the robot's
frame: ``R = exp(w) R_ref``. So averages and interpolations of coordinates are always poses.
They also bound the motion: the angular velocity is J(w) w', and no singular value of J is above 1, so

    |angular velocity| <= |w'|    and    |angular acceleration| <= |w''| + |w'|^2 / pi,

because |J' w'| <= |w'|^2 / pi up to half a turn. docs/end_effector.md has more.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.poses._rotations import (
    matrix_from_6d,
    matrix_from_quaternion,
    quaternion_from_matrix,
    rotation_6d,
    rotation_from_vector,
    rotation_vector,
)

Array = NDArray[np.float64]

COORDINATES = ("x", "y", "z", "rx", "ry", "rz")
"""Names of a pose's coordinates in the motion path: position [m] and rotation vector [rad]."""
ROTATION_ENTRIES = ("r11", "r21", "r31", "r12", "r22", "r32")
"""Names of the 6-D rotation in a dataset: the first two columns of the rotation matrix."""
ENTRIES = ("x", "y", "z", *ROTATION_ENTRIES)
"""Names of a pose's entries in a dataset."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseChart:
    """Converts poses to coordinates (..., 6) and back.

    orientation: quaternion (x, y, z, w) of the reference. A pose that is turned from it by almost half a turn
    has no unique coordinates; callers keep away from it (``turned``).
    """

    orientation: tuple[float, float, float, float]
    _reference: Array = field(init=False)  # (3, 3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reference", matrix_from_quaternion(np.array(self.orientation)))

    def coordinates(self, position: NDArray, matrix: Array) -> Array:
        """Coordinates (..., 6) of a position (..., 3) [m] and a rotation matrix (..., 3, 3)."""
        return np.concatenate([position, rotation_vector(matrix @ self._reference.T)], axis=-1)

    def matrix(self, coordinates: NDArray) -> Array:
        """The rotation matrix (..., 3, 3) of coordinates (..., 6)."""
        return rotation_from_vector(coordinates[..., 3:]) @ self._reference

    def of_quaternion(self, position: NDArray, quaternion: NDArray) -> Array:
        """Coordinates (..., 6) of a position (..., 3) [m] and a quaternion (..., 4).

        Raises PoseError: the quaternion has not length 1.
        """
        return self.coordinates(np.asarray(position), matrix_from_quaternion(quaternion))

    def quaternion(self, coordinates: NDArray) -> Array:
        """The quaternion (..., 4) of coordinates (..., 6)."""
        return quaternion_from_matrix(self.matrix(coordinates))

    def of_entries(self, entries: NDArray) -> Array:
        """Coordinates (..., 6) of a dataset's entries (..., 9).

        Raises PoseError: a rotation is not finite or degenerate.
        """
        entries = np.asarray(entries, dtype=np.float64)
        return self.coordinates(entries[..., :3], matrix_from_6d(entries[..., 3:]))

    def entries(self, coordinates: NDArray) -> Array:
        """A dataset's entries (..., 9) of coordinates (..., 6)."""
        return np.concatenate([coordinates[..., :3], rotation_6d(self.matrix(coordinates))], axis=-1)

    @staticmethod
    def turned(coordinates: NDArray) -> Array:
        """How far poses are turned from the reference orientation (...) [rad]."""
        return np.linalg.norm(coordinates[..., 3:], axis=-1)
