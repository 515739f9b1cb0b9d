# SPDX-License-Identifier: Apache-2.0
"""Random poses of the cubes on the table."""

import numpy as np

from dit_policy_ros.core.errors import SimulationError

CUBES = ("red", "green", "blue")
CUBE_EDGE = 0.04  # [m]
WORKSPACE = 0.115  # [m], cube centres lie within +-WORKSPACE in x and y
MIN_SPACING = 0.078  # [m] between cube centres: a closed gripper comes down between neighbours
_ATTEMPTS = 2000


def sample_cubes(rng: np.random.Generator, keep_out: np.ndarray | None = None) -> np.ndarray:
    """Returns random cube poses (3, 3): x [m], y [m], yaw [rad] for red, green, blue.

    keep_out: (K, 2) points x, y [m] to keep cubes away from, such as the grippers.
    Raises SimulationError when no arrangement is found.
    """
    avoid = np.empty((0, 2)) if keep_out is None else np.asarray(keep_out, dtype=float)  # (K, 2)
    for _ in range(_ATTEMPTS):
        xy = rng.uniform(-WORKSPACE, WORKSPACE, size=(len(CUBES), 2))  # (3, 2)
        others = np.concatenate([xy, avoid])  # (3 + K, 2)
        gaps = np.linalg.norm(xy[:, None] - others[None], axis=-1)  # (3, 3 + K)
        gaps[np.arange(len(CUBES)), np.arange(len(CUBES))] = np.inf
        if gaps.min() >= MIN_SPACING:
            yaw = rng.uniform(-np.pi / 4, np.pi / 4, size=(len(CUBES), 1))  # a square repeats every 90 deg
            return np.concatenate([xy, yaw], axis=1)
    raise SimulationError(
        f"found no cube poses that keep {MIN_SPACING} m apart; give fewer points in keep_out"
    )
