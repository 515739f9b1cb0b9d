# SPDX-License-Identifier: Apache-2.0
"""Where a wrist camera has the cubes in its picture."""

import numpy as np

from dit_policy_ros.sim.robot import BimanualSim

TURNS = 4  # a square looks the same after a quarter turn
VIEW = 5  # entries of what is known of one cube


def cube_views(sim: BimanualSim, camera: str) -> np.ndarray:
    """What a policy can find in a camera's picture: (3, 5) for red, green, blue.

    Place x, y, z [m] in the camera's frame (x to the right, y up, the camera looks along -z), then sine and
    cosine of four times the angle at which the cube lies. NaN for a cube whose centre is outside of the
    central square.
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
