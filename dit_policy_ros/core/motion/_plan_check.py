# SPDX-License-Identifier: Apache-2.0
"""Checks a plan before it is published.

joint_trajectory_controller reports a rejected message only in its own log, and it passes NaN on to the motors
(trajectory.cpp and joint_trajectory_controller.cpp of ros2_controllers). Both must be errors on our side. The
check deliberately shares no code with the modules that build plans.
"""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion._plan import Plan

# Tolerances for rounding. Positions: braking times are rounded up to 10 microseconds (_brake.py).
# Accelerations: positions are rounded to 1e-16 rad, and an interval can be as short as 10 microseconds.
_POSITION_TOLERANCE = 3e-5  # [rad or m]
_RELATIVE_TOLERANCE = 1e-6  # of velocities and accelerations
_ACCELERATION_TOLERANCE = 1e-3  # [rad/s^2 or m/s^2]
_AT_REST = 1e-9  # [rad/s or m/s]


def check_plan(
    plan: Plan,
    limits: Limits,
    joints: tuple[str, ...],
    now_ns: int,
    outside: NDArray[np.float64] | float = 0.0,
) -> None:
    """Refuse a plan that a controller would reject or whose execution would break a limit.

    Args:
        plan: to be checked.
        limits: of the joints.
        joints: their names, for messages.
        now_ns: present time [ns].
        outside: (A,) or one value, how far outside the position limits a joint may begin [rad or m].

    Raises:
        PlanRejected: naming the rule, the joint, the value and the limit.
    """
    for name, values in (("position", plan.positions), ("velocity", plan.velocities)):
        if not np.isfinite(values).all():
            raise PlanRejected(f"the {name} of {_names(~np.isfinite(values), joints)} is not finite")
    if (np.diff(plan.times_ns) <= 0).any():
        raise PlanRejected("the times of the knots are not strictly increasing")
    if plan.times_ns[0] > now_ns:
        raise PlanRejected(
            "the first knot lies in the future: the controller would drop the running motion at once"
        )
    if plan.times_ns[-1] <= now_ns:
        raise PlanRejected("the last knot lies in the past: the controller would reject the message")
    moving = np.abs(plan.velocities[-1:]) > _AT_REST  # (1, A)
    if moving.any():
        raise PlanRejected(f"the plan does not end at rest: {_names(moving, joints)}")

    # A joint may begin a little outside its limits, but must not go further out.
    begin, low, high = plan.positions[0], limits.position_min, limits.position_max  # (A,)
    low = np.maximum(low - outside, np.minimum(low, begin)) - _POSITION_TOLERANCE  # (A,)
    high = np.minimum(high + outside, np.maximum(high, begin)) + _POSITION_TOLERANCE  # (A,)
    _require((plan.positions >= low) & (plan.positions <= high), "position", plan.positions, joints)
    fastest = limits.velocity * (1.0 + _RELATIVE_TOLERANCE)  # (A,)
    _require(np.abs(plan.velocities) <= fastest, "velocity", plan.velocities, joints)
    if len(plan.times_ns) > 1:
        turning, peaks = _between_knots(plan)  # (2, K-1, A), (K-1, A)
        for places in turning:  # (K-1, A)
            _require((places >= low) & (places <= high), "position between the knots", places, joints)
        _require(np.abs(peaks) <= fastest, "velocity between the knots", peaks, joints)
        accelerations = _end_accelerations(plan)  # (2, K-1, A)
        strongest = limits.acceleration * (1.0 + _RELATIVE_TOLERANCE) + _ACCELERATION_TOLERANCE  # (A,)
        within = np.abs(accelerations) <= strongest  # (2, K-1, A)
        _require(within[0] & within[1], "acceleration", np.abs(accelerations).max(axis=0), joints)


def joints_outside_limits(
    pose: NDArray[np.float64], limits: Limits, tolerance: NDArray[np.float64], joints: tuple[str, ...]
) -> list[str]:
    """One line, with its remedy, for each joint that is further outside its limits than tolerated.

    Closer to its limits a joint can start: the first plan leads it back within its velocity and acceleration
    limits.

    Args:
        pose: (A,) [rad or m].
        limits: of the joints.
        tolerance: (A,) how far outside is tolerated, from sag and calibration [rad or m].
        joints: their names.
    """
    outside = np.maximum(limits.position_min - pose, pose - limits.position_max)  # (A,) distance [rad or m]
    return [
        f"{joints[i]} is at {pose[i]:.4g}, outside its limits [{limits.position_min[i]:g}, "
        f"{limits.position_max[i]:g}] (limits.{joints[i]}) by more than {tolerance[i]:g}: move it back by "
        "hand, or correct the contract"
        for i in np.flatnonzero(outside > tolerance)
    ]


def _end_accelerations(plan: Plan) -> np.ndarray:
    """Accelerations at both ends of each cubic segment, where they are largest -> (2, K-1, A)."""
    dt = (np.diff(plan.times_ns) * 1e-9)[:, None]  # (K-1, 1)
    mean = np.diff(plan.positions, axis=0) / dt  # (K-1, A) mean velocity of the segment
    v0, v1 = plan.velocities[:-1], plan.velocities[1:]  # (K-1, A)
    return np.stack([(6.0 * mean - 4.0 * v0 - 2.0 * v1) / dt, (2.0 * v0 + 4.0 * v1 - 6.0 * mean) / dt])


def _between_knots(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """What a segment reaches between its knots; the value at a knot where that is the most.

    Returns:
        Both positions at which a joint may turn round (2, K-1, A), and the velocity where the acceleration
        is zero (K-1, A).
    """
    dt = (np.diff(plan.times_ns) * 1e-9)[:, None]  # (K-1, 1)
    p0, v0, v1 = plan.positions[:-1], plan.velocities[:-1] * dt, plan.velocities[1:] * dt  # (K-1, A)
    way = np.diff(plan.positions, axis=0)  # (K-1, A)
    c2, c3 = 3.0 * way - 2.0 * v0 - v1, v0 + v1 - 2.0 * way  # (K-1, A): p = p0 + u v0 + u^2 c2 + u^3 c3
    root = np.sqrt(np.maximum(c2 * c2 - 3.0 * c3 * v0, 0.0))  # (K-1, A)
    # Both zeros of the velocity v0 + 2 c2 u + 3 c3 u^2, in the form that needs no division by a small c3.
    shifted = -(c2 + np.copysign(root, c2))  # (K-1, A)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.stack([shifted / (3.0 * c3), v0 / shifted, -c2 / (3.0 * c3)])  # (3, K-1, A)
    u = np.clip(np.nan_to_num(places), 0.0, 1.0)
    positions = p0 + u[:2] * (v0 + u[:2] * (c2 + u[:2] * c3))  # (2, K-1, A)
    return positions, (v0 + u[2] * (2.0 * c2 + u[2] * 3.0 * c3)) / dt


def _names(bad: np.ndarray, joints: tuple[str, ...]) -> str:
    """The joints with a bad value at any knot (K, A)."""
    return ", ".join(joints[i] for i in np.flatnonzero(bad.any(axis=0)))


def _require(good: np.ndarray, what: str, values: np.ndarray, joints: tuple[str, ...]) -> None:
    if good.all():
        return
    knot, joint = np.argwhere(~good)[0]
    raise PlanRejected(
        f"the {what} {values[knot, joint]:.6g} of {joints[joint]} at knot {knot} is beyond its limit"
    )
