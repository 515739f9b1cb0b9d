# SPDX-License-Identifier: Apache-2.0
"""Cameras and lights that stray from the model's, scene by scene."""

import numpy as np
import pytest

from dit_policy_ros.sim.robot import CAMERAS, BimanualSim, Variation


def scene(sim: BimanualSim, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, tuple]]:
    sim.reset(seed=seed)
    return sim.cube_poses(), sim.render(), {camera: sim.camera_pose(camera) for camera in CAMERAS}


def make(**variation: float) -> BimanualSim:
    return BimanualSim(1, width=64, height=48, variation=Variation(**variation))


def test_no_variation_changes_nothing() -> None:
    with BimanualSim(1, width=64, height=48) as plain, make() as varied:
        before, after = scene(plain, 5), scene(varied, 5)
    np.testing.assert_array_equal(before[0], after[0])
    for camera in CAMERAS:
        np.testing.assert_array_equal(before[1][camera], after[1][camera])


def test_cameras_move_within_the_jitter_and_cubes_do_not_move() -> None:
    with BimanualSim(1, width=64, height=48) as plain, make(camera_jitter=0.01) as varied:
        strayed = []
        for seed in range(12):
            (cubes, _, poses), (same, _, moved) = scene(plain, seed), scene(varied, seed)
            np.testing.assert_array_equal(cubes, same)
            for camera in CAMERAS:
                shift = np.abs(moved[camera][0] - poses[camera][0]).max()
                cosine = (np.trace(poses[camera][1].T @ moved[camera][1]) - 1) / 2
                strayed.append((shift, np.arccos(np.clip(cosine, -1, 1))))
    shifts, turns = np.array(strayed).T
    assert 0.005 < shifts.max() < 0.018 and shifts.min() > 0.0, "0.01 m along each of three axes"
    assert 0.01 < turns.max() < 0.02 * 1.75, "0.02 rad about each of three axes"


def test_light_changes_brightness_and_returns_to_the_same_for_the_same_seed() -> None:
    with make(lighting=0.6) as sim:
        means = [scene(sim, seed)[1]["top"].mean() for seed in range(8)]
        again = [scene(sim, seed)[1]["top"].mean() for seed in range(8)]
    assert np.ptp(means) > 20.0 and means == again, "what strays begins anew with every scene"


@pytest.mark.parametrize("bad", [{"camera_jitter": -0.01}, {"camera_jitter": 0.2}, {"lighting": 1.5}])
def test_values_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Variation(**bad)
