# SPDX-License-Identifier: Apache-2.0
"""How the joints of a robot drive a MuJoCo model: which coordinates they are, and which servos move them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class LinearMap:
    """Values that depend on one joint each: ``target = gain * joint + offset``.

    index: where the M targets stand in their array of the model. joint: index of the joint of each one.
    gain, offset: (M,).
    """

    index: np.ndarray
    joint: np.ndarray
    gain: np.ndarray
    offset: np.ndarray

    def __call__(self, joints: np.ndarray) -> np.ndarray:
        """The targets (M,) of joint values (A,)."""
        return joints[self.joint] * self.gain + self.offset


def direct(index: np.ndarray) -> LinearMap:
    """The map of A targets, each of which is the joint of the same number."""
    return LinearMap(index, np.arange(len(index)), np.ones(len(index)), np.zeros(len(index)))


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """What a robot's A joints are in the model.

    joints: their names. coordinates: one coordinate (of qpos) per joint, by which it is measured. velocities:
    index (A,) of the same joints in qvel. followers: further coordinates that move with them, such as second
    fingers. servos: the controls (of ctrl) that command them.
    """

    joints: tuple[str, ...]
    coordinates: LinearMap
    velocities: np.ndarray
    servos: LinearMap
    followers: LinearMap
