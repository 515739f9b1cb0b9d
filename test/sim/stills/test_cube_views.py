# SPDX-License-Identifier: Apache-2.0
"""Where a camera has the cubes: against what it renders."""

import numpy as np
import pytest

from dit_policy_ros.sim.robot import CAMERAS, ArmKinematics, BimanualSim, focal_length
from dit_policy_ros.sim.stills._cube_views import cube_views

SIZE = 240  # [pixel]


def colour_at_cube(sim: BimanualSim, camera: str, cube: int) -> int:
    """Which channel is the strongest in the pixel where a cube should be; -1 in a grey one."""
    image, focal = sim.render(camera)[camera], focal_length(sim.model, camera, SIZE)
    x, y, z = cube_views(sim, camera)[cube, :3]
    pixel = image[round(SIZE / 2 + focal * y / z), round(SIZE / 2 - focal * x / z)].astype(int)
    return int(pixel.argmax()) if np.ptp(pixel) > 60 else -1


def test_the_pixel_where_a_cube_should_be_has_its_colour() -> None:
    left = ArmKinematics("left")
    with BimanualSim(3, width=SIZE, height=SIZE) as sim:
        for seed in range(6):
            sim.reset(seed=seed)
            assert [colour_at_cube(sim, "top", cube) for cube in range(3)] == [0, 1, 2]
            pose, place = sim.joint_positions, sim.cube_position("green")
            pose[:6] = left.solve(pose[:6], place + np.array([0.0, 0.0, 0.12]), iterations=30)
            sim.place(pose)
            assert colour_at_cube(sim, "left_wrist", 1) == 1, "between the fingers"


def test_a_turned_cube_has_its_angle() -> None:
    with BimanualSim(0, width=32, height=32) as sim:
        before = np.array([[0.05, 0.0, 0.0], [-0.05, 0.05, 0.0], [0.0, -0.08, 0.0]])
        sim.place_cubes(before)
        straight = cube_views(sim, "top")
        turns = np.array([0.2, -0.3, 0.1 + np.pi / 2])  # [rad]
        sim.place_cubes(before + np.array([[0.0, 0.0, turn] for turn in turns]))
        turned = cube_views(sim, "top")
    np.testing.assert_allclose(turned[:, :3], straight[:, :3], atol=1e-9)
    angles = np.arctan2(turned[:, 3], turned[:, 4]) - np.arctan2(straight[:, 3], straight[:, 4])
    expected = 4 * turns  # a camera that looks straight down sees the angles counter-clockwise
    np.testing.assert_allclose(np.cos(angles), np.cos(expected), atol=1e-6)
    np.testing.assert_allclose(np.sin(angles), np.sin(expected), atol=1e-6)


@pytest.mark.parametrize("camera", CAMERAS[1:])
def test_cubes_outside_the_picture_or_behind_the_camera_are_nan(camera: str) -> None:
    with BimanualSim(0, width=32, height=32) as sim:
        sim.place_cubes(np.array([[3.0, 3.0, 0.0], [-3.0, 3.0, 0.0], [0.0, -3.0, 0.0]]))
        assert np.isnan(cube_views(sim, camera)).all()
