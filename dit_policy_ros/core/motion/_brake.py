# SPDX-License-Identifier: Apache-2.0
"""The braking plan of HOLD: from the commanded state to rest, as fast as the limits allow."""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion._plan import Plan

# Stopping times are rounded up to this, so that no two knots lie absurdly close. A joint at 5 rad/s runs at
# most 0.025 mrad further for it, which check_plan allows for.
_TICK_NS = 10_000


def braking_plan(
    position: NDArray[np.float64],
    velocity: NDArray[np.float64],
    now_ns: int,
    limits: Limits,
    rest: float,
) -> Plan:
    """Decelerate every joint at its limit from the state commanded at ``now_ns``, then stand.

    Each joint comes to rest at a knot of its own, so that every segment has constant acceleration and the
    motion stays where braking from a viable state stays: inside the position limits.

    Args:
        position, velocity: (A,) commanded at ``now_ns`` [rad or m, /s].
        now_ns: start of the plan [ns].
        limits: the acceleration limits are used.
        rest: how long the plan stands at its end [s], so that it does not lie in the past when it arrives.
    """
    stopping_ns = (
        np.ceil(np.abs(velocity) / limits.acceleration * 1e9 / _TICK_NS).astype(np.int64) * _TICK_NS
    )  # (A,)
    last_ns = int(stopping_ns.max()) + round(rest * 1e9)
    offsets_ns = np.unique(np.concatenate([[0], stopping_ns, [last_ns]]))  # (K,) ascending
    braked_ns = np.minimum(offsets_ns[:, None], stopping_ns[None, :])  # (K, A) time spent braking
    braked = braked_ns * 1e-9  # (K, A) [s]
    # The deceleration that ends at zero exactly at the rounded stopping time.
    deceleration = velocity / np.maximum(stopping_ns * 1e-9, 1e-9)  # (A,)
    velocities = velocity - deceleration * braked  # (K, A)
    positions = position + (velocity + velocities) * (braked / 2.0)  # (K, A)
    velocities[offsets_ns[:, None] >= stopping_ns[None, :]] = 0.0
    return Plan(now_ns + offsets_ns, positions, velocities)
