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
LIMIT_NAMES = ("position", "velocity", "acceleration", "jerk")

# Room in units of a*dt^2 that no joint uses up: a continuous joint has infinite room.
_BEYOND = 1e12
# Clamps that change a velocity by less than this [rad/s or m/s] are rounding, not limiting.
_NOTICEABLE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LimitedMotion:
    """What the limiter made of a target.

    Attributes:
        positions, velocities: (K, A).
        limited_knots: knots at which it changed anything.
        counts: per limit, at how many knots it changed each joint (A,) int; by the names in LIMIT_NAMES.
    """

    positions: Array
    velocities: Array
    limited_knots: int
    counts: dict[str, NDArray[np.int64]]


def fastest_stoppable(distance: Array, acceleration: Array, dt: float) -> Array:
    """The largest v' >= 0 with ``v' * dt / 2 + stopping distance(v') <= distance``.

    The stopping distance is that of full braking knot by knot, the last interval reaching exactly zero.
    In units of a*dt and a*dt^2 it is piecewise linear, with the inverse below (derived in docs/motion.md).

    Args:
        distance: (A,) room left [rad or m]; negative gives the velocity that returns in one interval.
        acceleration: (A,) [/s^2].
        dt: interval [s].
    """
    y = np.minimum(distance / (acceleration * dt * dt), _BEYOND)  # (A,)
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
        self,
        position: Array,
        velocity: Array,
        target: Array,
        target_velocity: Array,
        acceleration: Array | None = None,
    ) -> LimitedMotion:
        """Follow ``target`` from a given state and be at rest at its last knot.

        Args:
            position, velocity: (A,) state at the knot before the target's first.
            target, target_velocity: (K, A), one row per knot.
            acceleration: (A,) of the interval before that knot; zero where nothing moved.

        Returns:
            The motion (K, A) from the knot after the given state on.

        Raises:
            ValueError: if the target has no knot.
        """
        knots, dt, limits = len(target), self.dt, self.limits
        if knots == 0:
            raise ValueError("there is no knot to follow")
        before = np.zeros_like(velocity) if acceleration is None else acceleration  # (A,)
        step = limits.acceleration * dt  # (A,) largest change of velocity in one interval
        wanted = np.clip(target, limits.position_min, limits.position_max)  # (K, A)
        ending = np.zeros(len(position), bool)  # (A,) joints that brake because the plan ends
        limited = np.zeros((len(LIMIT_NAMES), knots, len(position)), bool)  # (4, K, A)
        limited[0] = np.abs(wanted - target) > _NOTICEABLE
        positions, velocities = np.empty_like(wanted), np.empty_like(wanted)
        for k in range(knots):
            coasting = position + (velocity + target_velocity[k]) * (dt / 2.0)  # (A,) without a correction
            error = wanted[k] - coasting  # (A,)
            desired = target_velocity[k] + np.copysign(self._correction(np.abs(error)), error)  # (A,)

            drift = velocity * (dt / 2.0)  # (A,)
            upper = fastest_stoppable(limits.position_max - position - drift, limits.acceleration, dt)
            lower = -fastest_stoppable(position + drift - limits.position_min, limits.acceleration, dt)
            # The gentlest limit first: each that follows may overrule the ones before it.
            smooth = self._smoothed(desired, velocity, before, target_velocity[k : k + 2])  # (A,)
            limited[3, k] = np.abs(smooth - desired) > _NOTICEABLE
            desired = smooth
            for i, (low, high) in enumerate(
                ((lower, upper), (-limits.velocity, limits.velocity), (velocity - step, velocity + step))
            ):
                clamped = np.minimum(np.maximum(desired, low), high)  # (A,)
                limited[i, k] |= np.abs(clamped - desired) > _NOTICEABLE
                desired = clamped

            to_rest = step * (knots - 1 - k)  # (A,) the last knot is at rest: the plan ends in braking
            ending |= np.abs(desired) > to_rest
            limited[1:, k] &= ~ending
            chosen = np.clip(np.clip(desired, -to_rest, to_rest), velocity - step, velocity + step)
            chosen[np.abs(chosen) < _NOTICEABLE] = 0.0  # rest is exact
            position = position + (velocity + chosen) * (dt / 2.0)
            before, velocity = (chosen - velocity) / dt, chosen
            positions[k], velocities[k] = position, velocity
        return LimitedMotion(
            positions,
            velocities,
            int(limited.any(axis=(0, 2)).sum()),
            {name: limited[i].sum(axis=0) for i, name in enumerate(LIMIT_NAMES)},
        )

    def _smoothed(
        self, desired: Array, velocity: Array, acceleration: Array, target_velocities: Array
    ) -> Array:
        """The velocity (A,) nearest to the desired that the jerk limit lets be reached without overshooting.

        Reaching a velocity is to jerk what reaching a position is to acceleration: the acceleration has to
        return to the target's own in time.

        Args:
            desired, velocity, acceleration: (A,) of the next knot, of this one, of the interval before it.
            target_velocities: (1 or 2, A) at the next knot and the one after it.
        """
        dt, limited = self.dt, np.isfinite(self.limits.jerk)  # (A,)
        if not limited.any():
            return desired
        jerk = np.where(limited, self.limits.jerk, 1.0)  # (A,)
        own = (target_velocities[-1] - target_velocities[0]) / dt  # (A,)
        missing = desired - velocity - own * dt  # (A,)
        wanted = own + np.copysign(fastest_stoppable(np.abs(missing), jerk, dt), missing)  # (A,)
        change = np.clip(wanted - acceleration, -jerk * dt, jerk * dt)  # (A,)
        return np.where(limited, velocity + (acceleration + change) * dt, desired)

    def _correction(self, error: Array) -> Array:
        """The speed (A,) at which a position error (A,) >= 0 is made good without overshooting."""
        jerk = self.limits.jerk  # (A,)
        # Stopping from v with limited jerk takes v * sqrt(v / jerk); half of the speed leaves a margin.
        gentle = np.where(
            np.isinf(jerk), np.inf, 0.5 * np.cbrt(np.where(np.isinf(jerk), 0.0, jerk) * error**2)
        )
        return np.minimum(
            np.minimum(error * (_CORRECTION / self.dt), np.sqrt(self.limits.acceleration * error)), gentle
        )
