# SPDX-License-Identifier: Apache-2.0
"""Further vectors of the simulated robot: joint velocities and efforts, as the contract names them."""

from dit_policy_ros.sim.vectors._vectors import SIM_VECTORS, find_vectors, measure_vectors

__all__ = ["SIM_VECTORS", "find_vectors", "measure_vectors"]
