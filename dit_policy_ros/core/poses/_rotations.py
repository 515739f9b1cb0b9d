# SPDX-License-Identifier: Apache-2.0
"""Forms of a rotation: matrix, quaternion (x, y, z, w), rotation vector, and the 6-D form for networks.

The 6-D form is the first two columns of the matrix, one after the other (Zhou et al. 2019, arXiv 1812.07035).
It has no jumps, as quaternions and Euler angles have, so a network can learn it.
"""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import PoseError

Array = NDArray[np.float64]

MAX_CORRECTION = 0.5
"""How far the two columns of a 6-D rotation may be from orthonormal ones, as a distance in 6-D."""
_NO_DIRECTION = 1e-9  # length of a vector
_UNIT_TOLERANCE = 0.05  # of the length of a quaternion: farther off it is no rotation
_SMALL = 1e-4  # [rad] below it series replace quotients of small numbers


def rotation_6d(matrix: Array) -> Array:
    """The 6-D form (..., 6) of rotation matrices: r11, r21, r31, r12, r22, r32."""
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def matrix_from_6d(values: NDArray) -> Array:
    """Rotation matrices of 6-D forms (..., 6), which need not be exactly orthonormal.

    Orthonormalised as by Gram and Schmidt: the first column keeps its direction, the second one the plane.

    Raises:
        PoseError: a value is not finite, or the columns are farther than MAX_CORRECTION from orthonormal
            ones: a network that gives such values does not know the rotation, or is undecided between two.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise PoseError("a 6-D rotation is not finite")
    a, b = values[..., :3], values[..., 3:]  # (..., 3) both
    x, has_x = _unit(a)
    y, has_y = _unit(b - (x * b).sum(axis=-1, keepdims=True) * x)
    correction = np.sqrt(((a - x) ** 2 + (b - y) ** 2).sum(axis=-1))  # (...)
    correction = np.where(has_x & has_y, correction, np.inf)
    if correction.size and correction.max() > MAX_CORRECTION:
        worst = values.reshape(-1, 6)[int(correction.argmax())]
        raise PoseError(
            f"a 6-D rotation is {correction.max():.2g} away from the nearest rotation found (at most "
            f"{MAX_CORRECTION:g} is corrected): {np.array2string(worst, precision=3)}"
        )
    return np.stack([x, y, np.cross(x, y)], axis=-1).astype(np.float64)


def _unit(vectors: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Vectors (..., 3) of length 1, and which (...) had a direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)  # (..., 1)
    has_direction = length[..., 0] > _NO_DIRECTION  # (...)
    return vectors / np.maximum(length, _NO_DIRECTION), has_direction


def matrix_from_quaternion(quaternion: NDArray) -> Array:
    """Rotation matrices of quaternions (..., 4), x, y, z, w; their length is made 1.

    Raises:
        PoseError: one is not finite, or its length is not 1 within 5 %.
    """
    quaternion = np.asarray(quaternion, dtype=np.float64)
    length = np.linalg.norm(quaternion, axis=-1, keepdims=True)  # (..., 1)
    if not (np.abs(length - 1.0) <= _UNIT_TOLERANCE).all():  # also if it is NaN
        raise PoseError(
            f"a quaternion (x, y, z, w) must have length 1, got {np.array2string(quaternion, precision=3)}"
        )
    x, y, z, w = np.moveaxis(quaternion / length, -1, 0)  # (...) each
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_from_matrix(matrix: Array) -> Array:
    """Quaternions (..., 4), x, y, z, w with w >= 0, of rotation matrices."""
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    xy, xz, yz = (m[..., i, j] + m[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2)))
    xw, yw, zw = (m[..., i, j] - m[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0)))
    # 4 q q^T; its row with the largest diagonal entry gives the quaternion without loss of digits.
    products = [
        [1 + xx - yy - zz, xy, xz, xw],
        [xy, 1 - xx + yy - zz, yz, yw],
        [xz, yz, 1 - xx - yy + zz, zw],
        [xw, yw, zw, 1 + xx + yy + zz],
    ]
    table = np.stack([np.stack(row, axis=-1) for row in products], axis=-2)  # (..., 4, 4)
    best = np.argmax(np.diagonal(table, axis1=-2, axis2=-1), axis=-1)  # (...)
    row = np.take_along_axis(table, best[..., None, None], axis=-2)[..., 0, :]  # (..., 4)
    row = row / np.linalg.norm(row, axis=-1, keepdims=True)
    return np.where(row[..., 3:] < 0.0, -row, row)


def rotation_vector(matrix: Array) -> Array:
    """The rotation vectors (..., 3) [rad] of rotation matrices: axis times angle, at most half a turn."""
    quaternion = quaternion_from_matrix(matrix)  # (..., 4)
    sine = np.linalg.norm(quaternion[..., :3], axis=-1, keepdims=True)  # (..., 1) of half the angle
    angle = 2.0 * np.arctan2(sine, quaternion[..., 3:])  # (..., 1)
    scale = np.where(sine < _SMALL, 2.0, angle / np.maximum(sine, _SMALL))  # (..., 1)
    return quaternion[..., :3] * scale


def rotation_from_vector(vector: NDArray) -> Array:
    """Rotation matrices of rotation vectors (..., 3) [rad]."""
    vector = np.asarray(vector, dtype=np.float64)
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)  # (..., 1)
    half = 0.5 * angle
    scale = np.where(angle < _SMALL, 0.5 - angle**2 / 48.0, np.sin(half) / np.maximum(angle, _SMALL))
    return matrix_from_quaternion(np.concatenate([vector * scale, np.cos(half)], axis=-1))


def rotation_angle(first: Array, second: Array) -> Array:
    """The angles (...) [rad] between rotation matrices."""
    relative = np.swapaxes(first, -1, -2) @ second  # (..., 3, 3)
    return np.linalg.norm(rotation_vector(relative), axis=-1)
