# SPDX-License-Identifier: Apache-2.0
"""Rotations keep their meaning in every form, and a network's nearly right ones are mended or refused."""

import numpy as np
import pytest

from dit_policy_ros.core.errors import PoseError
from dit_policy_ros.core.poses import (
    PoseChart,
    matrix_from_6d,
    matrix_from_quaternion,
    quaternion_from_matrix,
    rotation_6d,
    rotation_angle,
    rotation_from_vector,
    rotation_vector,
)

RNG = np.random.default_rng(0)


def random_vectors(count: int, largest: float = np.pi) -> np.ndarray:
    """Rotation vectors (N, 3) [rad] in all directions, very small ones and half turns among them."""
    axes = RNG.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = RNG.uniform(0.0, largest, size=count)
    angles[:20] = 10.0 ** RNG.uniform(-12, -3, size=20)
    angles[20:30] = largest - 1e-9
    return axes * angles[:, None]


def test_all_forms_give_the_same_rotation() -> None:
    vectors = random_vectors(2000)
    matrices = rotation_from_vector(vectors)
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.tile(np.eye(3), (2000, 1, 1)), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0)
    np.testing.assert_allclose(rotation_vector(matrices), vectors, atol=1e-12)
    np.testing.assert_allclose(matrix_from_quaternion(quaternion_from_matrix(matrices)), matrices, atol=1e-14)
    np.testing.assert_allclose(matrix_from_6d(rotation_6d(matrices)), matrices, atol=1e-14)


def test_a_quarter_turn_about_z_is_what_it_is_in_ros() -> None:
    matrix = matrix_from_quaternion(np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]))
    np.testing.assert_allclose(matrix @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(rotation_vector(matrix), [0.0, 0.0, np.pi / 2])
    np.testing.assert_allclose(rotation_6d(matrix), [0.0, 1.0, 0.0, -1.0, 0.0, 0.0], atol=1e-15)
    assert rotation_angle(np.eye(3), matrix) == pytest.approx(np.pi / 2)


def test_a_rotation_that_is_nearly_right_is_orthonormalised() -> None:
    matrices = rotation_from_vector(random_vectors(500))
    noisy = rotation_6d(matrices) + RNG.normal(scale=0.03, size=(500, 6))
    mended = matrix_from_6d(noisy)
    np.testing.assert_allclose(
        mended @ np.swapaxes(mended, 1, 2), np.tile(np.eye(3), (500, 1, 1)), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(mended), 1.0)
    assert rotation_angle(mended, matrices).max() < 0.2


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 0.0, 0.0, 0.0, 1.0, 0.0],  # no first column
        [1.0, 0.0, 0.0, 1.0, 0.0, 0.0],  # both columns the same
        [1.0, 0.0, 0.0, -1.0, 0.0, 0.0],
        [0.0] * 6,
        [0.1, 0.0, 0.0, 0.0, 0.1, 0.0],  # the mean of contradicting rotations
        [1.0, 0.0, 0.0, 0.0, np.nan, 0.0],
        [1.0, 0.0, 0.0, 0.0, np.inf, 0.0],
        [40.0, 0.0, 0.0, 0.0, 40.0, 0.0],  # not normalised: another unit, or another network
    ],
)  # fmt: skip
def test_a_degenerate_rotation_is_refused(values: list[float]) -> None:
    good = rotation_6d(np.eye(3))
    with pytest.raises(PoseError, match="6-D rotation"):
        matrix_from_6d(np.array([good, values]))


@pytest.mark.parametrize("quaternion", [[0.0] * 4, [1.0, 1.0, 0.0, 0.0], [np.nan, 0.0, 0.0, 1.0]])
def test_what_is_no_unit_quaternion_is_refused(quaternion: list[float]) -> None:
    with pytest.raises(PoseError, match="length 1"):
        matrix_from_quaternion(np.array(quaternion))


def test_coordinates_bound_the_angular_velocity_and_acceleration() -> None:
    """The limits of coordinates are limits of the end effector: searched at random up to the largest turn."""
    step = 1e-4  # [s]
    chart = PoseChart((0.5, 0.5, -0.5, 0.5))
    vectors = random_vectors(4000, 3.0)
    rates, changes = RNG.normal(size=(2, 4000, 3)) * RNG.uniform(0.0, 3.0, size=(2, 4000, 1))

    def at(time: float) -> np.ndarray:
        coordinates = np.zeros((4000, 6))
        coordinates[:, 3:] = vectors + rates * time + changes * (0.5 * time * time)
        return chart.matrix(coordinates)

    def velocity(time: float) -> np.ndarray:
        turn = at(time + step / 2) @ np.swapaxes(at(time - step / 2), 1, 2)
        return rotation_vector(turn) / step

    speed, rate = np.linalg.norm(velocity(0.0), axis=1), np.linalg.norm(rates, axis=1)
    assert (speed <= rate * (1.0 + 1e-6) + 1e-6).all()
    gain = np.linalg.norm(velocity(step) - velocity(-step), axis=1) / (2.0 * step)
    assert (gain <= np.linalg.norm(changes, axis=1) + rate**2 / np.pi + 1e-3).all()
    assert (gain > np.linalg.norm(changes, axis=1)).any(), "the search must reach what the second term is for"


def test_lines_of_coordinates_are_nearly_the_shortest_turns() -> None:
    """Between two rows of a chunk: 33 ms at 2 rad/s, wherever the end effector is turned."""
    chart = PoseChart((0.0, 0.0, 0.0, 1.0))
    start = np.concatenate([np.zeros((1000, 3)), random_vectors(1000, 2.5)], axis=1)
    turns = random_vectors(1000, 1.0)
    turns *= 2.0 / 30.0 / np.linalg.norm(turns, axis=1, keepdims=True)
    first = chart.matrix(start)
    end = chart.coordinates(np.zeros((1000, 3)), rotation_from_vector(turns) @ first)
    near = np.linalg.norm(end[:, 3:], axis=1) < 3.0
    middle = chart.matrix(0.5 * (start + end))
    shortest = rotation_from_vector(0.5 * turns) @ first
    assert rotation_angle(middle, shortest)[near].max() < 1e-3


def test_the_mean_of_coordinates_is_nearly_the_mean_rotation() -> None:
    """Chunks that differ by 0.1 rad, far from the reference: within 5 mrad of the least squares of angles."""
    chart = PoseChart((0.0, 0.0, 0.0, 1.0))
    for vector in random_vectors(100, 2.0):
        spread = RNG.normal(scale=0.05, size=(5, 3))
        matrices = rotation_from_vector(spread) @ rotation_from_vector(vector)
        coordinates = chart.coordinates(np.zeros((5, 3)), matrices)
        weights = np.exp(-0.01 * np.arange(5))
        mean = chart.matrix((weights / weights.sum()) @ coordinates)
        best = matrices[0]
        for _ in range(10):  # Karcher mean
            best = rotation_from_vector((weights / weights.sum()) @ rotation_vector(matrices @ best.T)) @ best
        assert rotation_angle(mean, best) < 5e-3
        np.testing.assert_allclose(mean @ mean.T, np.eye(3), atol=1e-14)
