# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Random changes of camera mounts and lighting, as between two set-ups of the same scene."""

from dataclasses import dataclass

import mujoco
import numpy as np

from dit_policy_ros.sim.robot._renderer import Model

_TURN_PER_METRE = 2.0  # [rad/m] a displaced camera is also turned by up to this


@dataclass(frozen=True, slots=True)
class Variation:
    """How much the appearance of a scene varies.

    Attributes:
        camera_jitter: largest displacement of each camera along each axis [m]. It is also turned about each
            axis by up to 2 rad per metre of displacement (5 mm: 0.6 degrees).
        lighting: largest relative change of each light's brightness, 0 to 1.
    """

    camera_jitter: float = 0.0
    lighting: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.camera_jitter <= 0.1:
            raise ValueError(f"camera_jitter must be 0 to 0.1 m, got {self.camera_jitter}")
        if not 0.0 <= self.lighting <= 1.0:
            raise ValueError(f"lighting must be 0 to 1, got {self.lighting}")


class Appearance:
    """Changes a model's cameras and lights, always relative to the original model."""

    def __init__(self, model: Model, variation: Variation) -> None:
        self._model, self._variation = model, variation
        self._places, self._turns = model.cam_pos.copy(), model.cam_quat.copy()  # (cameras, 3), (cameras, 4)
        self._lights = model.light_diffuse.copy()  # (lights, 3)
        self._ambient = np.array(model.vis.headlight.ambient)  # (3,)
        self._headlight = np.array(model.vis.headlight.diffuse)  # (3,)

    def change(self, rng: np.random.Generator) -> None:
        """Apply a random variation. It draws the same number of values from ``rng`` for any setting."""
        model, jitter, share = self._model, self._variation.camera_jitter, self._variation.lighting
        places = rng.uniform(-1.0, 1.0, self._places.shape)
        turns = rng.uniform(-1.0, 1.0, self._places.shape)
        model.cam_pos[:] = self._places + jitter * places
        for quaternion, before, turn in zip(model.cam_quat, self._turns, turns, strict=True):
            quaternion[:] = before
            mujoco.mju_quatIntegrate(quaternion, turn, jitter * _TURN_PER_METRE)
        brightness = 1.0 + share * rng.uniform(-1.0, 1.0, len(self._lights) + 2)
        model.light_diffuse[:] = self._lights * brightness[2:, None]
        model.vis.headlight.ambient[:] = self._ambient * brightness[0]
        model.vis.headlight.diffuse[:] = self._headlight * brightness[1]
