# SPDX-License-Identifier: Apache-2.0
"""A policy drives the simulated robot in lock-step: no clock, no latency, no ROS, so a seed is an outcome.

This judges the network alone. Plain receding horizon: predict a chunk, execute its first steps, predict
again; what the nodes add (ensembling, splicing, limits, latency) is absent, see lockstep_node.
"""

from collections import deque

import numpy as np

from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.sim.robot import BimanualSim


class History:
    """What a policy has observed; before there is a past the first sample repeats, as in training."""

    def __init__(self, policy: Policy) -> None:
        self._cameras, self._steps = tuple(policy.image_shapes), policy.n_obs_steps
        self._images: dict[str, deque[np.ndarray]] = {c: deque(maxlen=self._steps) for c in self._cameras}
        self._states: deque[np.ndarray] = deque(maxlen=self._steps)

    def observe(self, sim: BimanualSim) -> None:
        """Take in the present instant."""
        rendered = sim.render(*self._cameras) if self._cameras else {}
        for _ in range(1 if self._states else self._steps):
            self._states.append(sim.joint_positions.astype(np.float32))
            for camera in self._cameras:
                self._images[camera].append(rendered[camera])

    @property
    def images(self) -> dict[str, np.ndarray]:
        """By camera (n_obs, H, W, 3), oldest first."""
        return {camera: np.stack(queue) for camera, queue in self._images.items()}

    @property
    def state(self) -> np.ndarray:
        """(n_obs, D) [rad], [m], oldest first."""
        return np.stack(self._states)


class PolicyActor:
    """Drives the robot by a policy: predict a chunk, execute its first steps, predict again."""

    def __init__(self, policy: Policy, instruction: str, execute: int) -> None:
        """Nothing is remembered yet."""
        self._policy, self._instruction, self._execute = policy, instruction, execute
        self._history = History(policy)
        self._plan: deque[np.ndarray] = deque()

    def __call__(self, sim: BimanualSim) -> np.ndarray:
        """The joint target (14,) [rad], [m] for the next period."""
        self._history.observe(sim)
        if not self._plan:
            chunk = self._policy.predict(self._history.images, self._history.state, self._instruction)
            self._plan.extend(chunk[1 : 1 + self._execute])  # row 0 is for this instant, which has passed
        return np.clip(self._plan.popleft(), sim.lower, sim.upper)


def image_size(policy: Policy) -> tuple[int, int]:
    """(height, width) [pixel] at which the simulation must render for a policy."""
    shapes = list(policy.image_shapes.values())
    return shapes[0] if shapes else (240, 320)
