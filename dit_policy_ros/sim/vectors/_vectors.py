# SPDX-License-Identifier: Apache-2.0
"""What the simulated robot measures beside joint positions and images, as the contract names it."""

from typing import TYPE_CHECKING

import numpy as np

from dit_policy_ros.core.contract import Vector, VectorType
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.names import JOINTS

if TYPE_CHECKING:  # MuJoCo, which the help of a program does without
    from dit_policy_ros.sim.robot import BimanualSim

_MAX_AGE = 0.2  # [s] as joint_states.max_age in config/bimanual.yaml

SIM_VECTORS = tuple(
    Vector(field, "joint_states", VectorType.JOINT_STATE, JOINTS, _MAX_AGE, field)
    for field in ("velocity", "effort")
)
"""The vectors that can be recorded and read in simulation; sim_node publishes them."""


def find_vectors(names: tuple[str, ...]) -> tuple[Vector, ...]:
    """The simulated robot's vectors of these names. Raises SimulationError that lists the valid ones."""
    known = {vector.name: vector for vector in SIM_VECTORS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SimulationError(
            f"the simulated robot has no vector {', '.join(unknown)}; it has: {', '.join(known)}"
        )
    return tuple(known[name] for name in names)


def measure_vectors(sim: "BimanualSim", names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The present values of vectors (14,), by name: [rad/s] and [N m], for grippers [m/s] and [N]."""
    values = {"velocity": sim.joint_velocities, "effort": sim.joint_efforts}
    return {name: values[name] for name in names}
