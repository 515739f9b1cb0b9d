# SPDX-License-Identifier: Apache-2.0
"""Where the cubes are in a wrist camera's picture."""

import numpy as np

from dit_policy_ros.sim.robot import BimanualSim

TURNS = 4  # a cube looks the same after a quarter turn: use four times its angle
VIEW = 5  # entries per cube


def cube_views(sim: BimanualSim, camera: str) -> np.ndarray:
    """Labels of the cubes in a camera's picture: (3, 5) for red, green, blue.

    Position x, y, z [m] in the camera's frame (x right, y up, the camera looks along -z), then sine and
    cosine of four times the cube's angle. NaN for a cube whose centre is outside the central square.
    """
    place, rotation, half_angle = sim.camera_pose(camera)  # (3,), (3, 3), [rad]
    result = np.full((3, VIEW), np.nan)
    for row, frame in zip(result, sim.cube_frames(), strict=True):
        w, i, j, k = frame[3:]
        x, y, z = rotation.T @ (frame[:3] - place)
        if max(abs(x), abs(y)) < -z * np.tan(half_angle):
            edge = np.array([1 - 2 * (j * j + k * k), 2 * (i * j + w * k), 2 * (i * k - w * j)])  # (3,)
            along = rotation.T @ edge
            angle = TURNS * np.arctan2(along[1], along[0])
            row[:] = x, y, z, np.sin(angle), np.cos(angle)
    return result
