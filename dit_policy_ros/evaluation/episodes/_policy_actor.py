# SPDX-License-Identifier: Apache-2.0
"""A policy drives the simulated robot in lock-step: no clock, no latency, no ROS.

This judges the network alone, with a plain receding horizon: predict a chunk, execute its first steps,
predict again. It lacks what the policy node adds (ensembling, splicing, limits, latency); ``NodeActor`` has
that.
"""

from collections import deque

import numpy as np

from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.vectors import measure_vectors

DEFAULT_IMAGE_SIZE = (240, 320)  # (height, width) [pixel], for actors without cameras


class ObservationHistory:
    """A policy's last observations. Before there are enough, the first one is repeated, as in training."""

    def __init__(self, policy: Policy) -> None:
        self._cameras, self._steps = tuple(policy.image_shapes), policy.n_obs_steps
        self._images: dict[str, deque[np.ndarray]] = {c: deque(maxlen=self._steps) for c in self._cameras}
        self._vectors = tuple(vector.name for vector in policy.vectors)
        self._states: deque[np.ndarray] = deque(maxlen=self._steps)

    def observe(self, sim: BimanualSim) -> None:
        """Add the simulation's present state."""
        rendered = sim.render(*self._cameras) if self._cameras else {}
        measured = [sim.joint_positions, *measure_vectors(sim, self._vectors).values()]
        for _ in range(1 if self._states else self._steps):
            self._states.append(np.concatenate(measured).astype(np.float32))
            for camera in self._cameras:
                self._images[camera].append(rendered[camera])

    @property
    def images(self) -> dict[str, np.ndarray]:
        """Images by camera, uint8 (n_obs, H, W, 3), oldest first."""
        return {camera: np.stack(images) for camera, images in self._images.items()}

    @property
    def newest_images(self) -> dict[str, np.ndarray]:
        """The newest image of each camera, uint8 (H, W, 3)."""
        return {camera: images[-1] for camera, images in self._images.items()}

    @property
    def state(self) -> np.ndarray:
        """Joint positions [rad], [m] and the policy's vectors, float32 (n_obs, D), oldest first."""
        return np.stack(self._states)


class PolicyActor:
    """Drives the robot with a policy: predict a chunk, execute its first steps, predict again.

    Args:
        policy: predicts.
        instruction: the task.
        execute: how many steps of each chunk are executed.

    Attributes:
        history: what the policy observes.
    """

    def __init__(self, policy: Policy, instruction: str, execute: int) -> None:
        self._policy, self._instruction, self._execute = policy, instruction, execute
        self.history = ObservationHistory(policy)
        self._steps: deque[np.ndarray] = deque()  # (14,) each, still to be executed

    def __call__(self, sim: BimanualSim) -> np.ndarray:
        """The joint target (14,) [rad], [m] for the next period."""
        self.history.observe(sim)
        return self.act(sim)

    def act(self, sim: BimanualSim) -> np.ndarray:
        """The same, of what was observed last."""
        if not self._steps:
            chunk = self._policy.predict(self.history.images, self.history.state, self._instruction)
            self._steps.extend(chunk[1 : 1 + self._execute])  # row 0 is for the present instant
        return np.clip(self._steps.popleft(), sim.lower, sim.upper)


def image_size(policy: Policy) -> tuple[int, int]:
    """The (height, width) [pixel] at which the simulation must render for a policy."""
    shapes = list(policy.image_shapes.values())
    return shapes[0] if shapes else DEFAULT_IMAGE_SIZE
