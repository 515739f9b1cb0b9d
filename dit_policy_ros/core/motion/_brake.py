# SPDX-License-Identifier: Apache-2.0
"""The braking plan of a HOLD: from the commanded state to rest at the acceleration limits."""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion._plan import PLAN_HISTORY, Plan

# Stopping times are rounded up to multiples of this, so that no two knots are almost at the same time. At
# 5 rad/s a joint then travels up to 0.025 mrad further; check_plan tolerates that.
_ROUNDING_NS = 10_000
# A brake that would begin this close behind a knot begins at the knot: in so short an interval, rounding
# would look like a huge acceleration.
_SHORTEST_NS = 1_000_000


def braking_plan(
    position: NDArray[np.float64],
    velocity: NDArray[np.float64],
    now_ns: int,
    limits: Limits,
    hold_duration: float,
) -> Plan:
    """Decelerate every joint at its limit from the state commanded at ``now_ns``, then hold the pose.

    Each joint comes to rest at a knot of its own, so every segment has constant acceleration. The limiter
    only commands states from which a joint can stop in time, so braking stays inside the position limits.

    Args:
        position, velocity: (A,) commanded at ``now_ns`` [rad or m, /s].
        now_ns: start of the plan [ns].
        limits: only the acceleration limits are used.
        hold_duration: how long the plan holds its final pose [s], see MotionSettings.
    """
    stopping_ns = (
        np.ceil(np.abs(velocity) / limits.acceleration * 1e9 / _ROUNDING_NS).astype(np.int64) * _ROUNDING_NS
    )  # (A,)
    last_ns = int(stopping_ns.max()) + round(hold_duration * 1e9)
    offsets_ns = np.unique(np.concatenate([[0], stopping_ns, [last_ns]]))  # (K,) ascending
    braked_ns = np.minimum(offsets_ns[:, None], stopping_ns[None, :])  # (K, A) time spent braking
    braked = braked_ns * 1e-9  # (K, A) [s]
    # The deceleration with which the velocity is zero exactly at the rounded stopping time.
    deceleration = velocity / np.maximum(stopping_ns * 1e-9, 1e-9)  # (A,)
    velocities = velocity - deceleration * braked  # (K, A)
    positions = position + (velocity + velocities) * (braked / 2.0)  # (K, A)
    velocities[offsets_ns[:, None] >= stopping_ns[None, :]] = 0.0
    return Plan(now_ns + offsets_ns, positions, velocities)


def braking_begin(active: Plan, now_ns: int) -> int:
    """When a brake from the active plan begins [ns]: now, or at the knot just before."""
    latest = int(active.times_ns[max(int(np.searchsorted(active.times_ns, now_ns, side="right")) - 1, 0)])
    return latest if 0 <= now_ns - latest < _SHORTEST_NS else now_ns


def with_history(brake: Plan, active: Plan, elsewhere: NDArray[np.bool_]) -> Plan:
    """The braking plan with the active plan's last knots before it, see PLAN_HISTORY.

    Args:
        brake: begins within the active plan.
        active: the plan before.
        elsewhere: bool (A,), joints whose brake does not begin on the active plan; they stand there.
    """
    begin_ns = int(brake.times_ns[0])
    earliest_ns = begin_ns - round(PLAN_HISTORY * 1e9)
    first = max(int(np.searchsorted(active.times_ns, earliest_ns, side="right")) - 1, 0)
    before = slice(first, int(np.searchsorted(active.times_ns, begin_ns)))
    return Plan(
        np.concatenate([active.times_ns[before], brake.times_ns]),
        np.concatenate([np.where(elsewhere, brake.positions[0], active.positions[before]), brake.positions]),
        np.concatenate([np.where(elsewhere, 0.0, active.velocities[before]), brake.velocities]),
    )
