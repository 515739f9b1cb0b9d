# SPDX-License-Identifier: Apache-2.0
"""Joint limits that hold for the executed motion, not merely at the knots.

Inside a plan every segment has constant acceleration: with ``p' = p + (v + v') * dt / 2`` the cubic
Hermite that the controller runs through (p, v), (p', v') is exactly a parabola. So the velocity peaks at
knots, the acceleration is ``(v' - v) / dt``, and bounding these bounds what the motors are asked for at
every instant (central differences on arbitrary knots can ask for three times the acceleration between
the knots).

The limiter walks forward from the last frozen knot and picks each next velocity: the target's own
velocity plus a correction of the position error, clamped to

* the velocity limit,
* the speed from which the joint still stops before its position limit,
* the speed from which it still stops by the plan's end,
* what one interval at the acceleration limit can reach.

The second and third keep the state *viable*: braking at the limit always remains inside the limits, so
the clamps never contradict each other. A trajectory that already obeys the limits passes unchanged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits

Array = NDArray[np.float64]

# Gain of the position correction, as a fraction of the error per interval. Up to 0.343 the loop
# e'' = (1 - g/2) e' - (g/2) e has real roots, so that corrections never overshoot.
_CORRECTION = 0.2
# Clamps that change a velocity by less than this [rad/s or m/s] are rounding, not limiting.
_NOTICEABLE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LimitedMotion:
    """What the limiter made of a target: positions and velocities (K, A), and how many knots it changed."""

    positions: Array
    velocities: Array
    limited_knots: int


def fastest_stoppable(distance: Array, acceleration: Array, dt: float) -> Array:
    """The largest v' >= 0 with ``v' * dt / 2 + stopping distance(v') <= distance``.

    The stopping distance is that of full braking knot by knot, the last interval reaching exactly zero.
    In units of a*dt and a*dt^2 it is piecewise linear, with the inverse below (derived in docs/motion.md).

    Args:
        distance: (A,) room left [rad or m]; negative gives the velocity that returns in one interval.
        acceleration: (A,) [/s^2].
        dt: interval [s].
    """
    y = distance / (acceleration * dt * dt)  # (A,)
    n = np.maximum(
        np.ceil((np.sqrt(1.0 + 8.0 * np.maximum(y, 0.0)) - 1.0) / 2.0), 1.0
    )  # (A,) braking intervals
    inside = y / n + (n - 1.0) / 2.0  # (A,)
    return np.where(y >= 0.0, inside, 2.0 * y) * acceleration * dt


class Limiter:
    """Bends target motions so that their execution stays within Limits."""

    def __init__(self, limits: Limits, dt: float) -> None:
        self.limits = limits
        self.dt = dt

    def follow(
        self, position: Array, velocity: Array, target: Array, target_velocity: Array
    ) -> LimitedMotion:
        """Follow ``target`` from a given state and be at rest at its last knot.

        Args:
            position, velocity: (A,) state at the knot before the target's first.
            target, target_velocity: (K, A), one row per knot.

        Returns:
            The motion (K, A) from the knot after the given state on.

        Raises:
            ValueError: if the target has no knot.
        """
        knots, dt, limits = len(target), self.dt, self.limits
        if knots == 0:
            raise ValueError("there is no knot to follow")
        step = limits.acceleration * dt  # (A,) largest change of velocity in one interval
        wanted = np.clip(target, limits.position_min, limits.position_max)  # (K, A)
        changed = np.abs(wanted - target).max(axis=1) > _NOTICEABLE  # (K,)
        ending = np.zeros(len(position), bool)  # (A,) joints that brake because the plan ends
        positions, velocities = np.empty_like(wanted), np.empty_like(wanted)
        for k in range(knots):
            coasting = position + (velocity + target_velocity[k]) * (dt / 2.0)  # (A,) without a correction
            error = wanted[k] - coasting  # (A,)
            speed = np.minimum(
                np.abs(error) * (_CORRECTION / dt), np.sqrt(limits.acceleration * np.abs(error))
            )
            desired = target_velocity[k] + np.copysign(speed, error)  # (A,)

            drift = velocity * (dt / 2.0)  # (A,)
            upper = fastest_stoppable(limits.position_max - position - drift, limits.acceleration, dt)
            lower = -fastest_stoppable(position + drift - limits.position_min, limits.acceleration, dt)
            upper, lower = np.minimum(upper, limits.velocity), np.maximum(lower, -limits.velocity)
            upper, lower = np.minimum(upper, velocity + step), np.maximum(lower, velocity - step)
            bounded = np.clip(desired, lower, upper)

            to_rest = step * (knots - 1 - k)  # (A,) the last knot is at rest: the plan ends in braking
            ending |= np.abs(bounded) > to_rest
            changed[k] |= bool((np.abs(bounded - desired)[~ending] > _NOTICEABLE).any())
            chosen = np.clip(np.clip(bounded, -to_rest, to_rest), velocity - step, velocity + step)
            chosen[np.abs(chosen) < _NOTICEABLE] = 0.0  # rest is exact
            position = position + (velocity + chosen) * (dt / 2.0)
            velocity = chosen
            positions[k], velocities[k] = position, velocity
        return LimitedMotion(positions, velocities, int(changed.sum()))
