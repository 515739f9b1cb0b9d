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
        half = dt / 2.0
        step = limits.acceleration * dt  # (A,) largest change of velocity in one interval
        per_jerk = self._per_jerk()
        wanted = np.minimum(np.maximum(target, limits.position_min), limits.position_max)  # (K, A)
        # What each limit makes of the velocity that is desired, one after the other; the first is the desire.
        stages = np.empty((len(LIMIT_NAMES) + 1, knots, len(position)))  # (5, K, A)
        to_rest = step * np.arange(knots - 1, -1, -1.0)[:, None]  # (K, A) the plan ends in braking
        positions, velocities = np.empty_like(wanted), np.empty_like(wanted)
        for k in range(knots):
            coasting = position + (velocity + target_velocity[k]) * half  # (A,) without a correction
            error = wanted[k] - coasting  # (A,)
            desired = target_velocity[k] + np.copysign(self._correction(np.abs(error), per_jerk), error)
            stages[0, k] = desired
            # The gentlest limit first: each that follows may overrule the ones before it.
            if per_jerk is not None:
                desired = self._smoothed(desired, velocity, before, target_velocity[k : k + 2])  # (A,)
            stages[1, k] = desired
            desired = self._stoppable(desired, position, velocity * half)
            stages[2, k] = desired
            desired = np.minimum(np.maximum(desired, -limits.velocity), limits.velocity)  # (A,)
            stages[3, k] = desired
            slowest, fastest = velocity - step, velocity + step  # (A,)
            desired = np.minimum(np.maximum(desired, slowest), fastest)  # (A,)
            stages[4, k] = desired
            chosen = np.minimum(np.maximum(desired, -to_rest[k]), to_rest[k])  # (A,)
            chosen = np.minimum(np.maximum(chosen, slowest), fastest)  # (A,)
            chosen[np.abs(chosen) < _NOTICEABLE] = 0.0  # rest is exact
            position = position + (velocity + chosen) * half
            before, velocity = (chosen - velocity) / dt, chosen
            positions[k], velocities[k] = position, velocity
        jerk, limited = np.split(np.abs(np.diff(stages, axis=0)) > _NOTICEABLE, (1,))  # (1, K, A), (3, K, A)
        limited = np.concatenate([limited, jerk])  # (4, K, A) in the order of LIMIT_NAMES
        # From where a joint brakes because the plan ends on, the other limits are no news.
        limited[1:] &= ~np.logical_or.accumulate(np.abs(stages[-1]) > to_rest, axis=0)
        limited[0] |= np.abs(wanted - target) > _NOTICEABLE
        return LimitedMotion(
            positions,
            velocities,
            int(limited.any(axis=(0, 2)).sum()),
            {name: limited[i].sum(axis=0) for i, name in enumerate(LIMIT_NAMES)},
        )

    def _stoppable(self, desired: Array, position: Array, drift: Array) -> Array:
        """The velocity (A,) nearest to the desired from which a joint still stops inside its limits.

        Args:
            desired, position: (A,).
            drift: (A,) how far the present velocity carries it in half an interval [rad or m].
        """
        limits, dt = self.limits, self.dt
        speed = np.abs(desired)  # (A,)
        above = limits.position_max - position - drift  # (A,) room left [rad or m]
        below = position + drift - limits.position_min  # (A,)
        # No braking takes longer than this; far from its limits a joint needs no closer look.
        enough = speed * (1.5 * dt) + speed * speed / (2.0 * limits.acceleration)  # (A,)
        if (np.minimum(above, below) >= enough).all():
            return desired
        low = -fastest_stoppable(below, limits.acceleration, dt)
        return np.minimum(np.maximum(desired, low), fastest_stoppable(above, limits.acceleration, dt))

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
        jerk = np.where(limited, self.limits.jerk, 1.0)  # (A,)
        own = (target_velocities[-1] - target_velocities[0]) / dt  # (A,)
        missing = desired - velocity - own * dt  # (A,)
        wanted = own + np.copysign(fastest_stoppable(np.abs(missing), jerk, dt), missing)  # (A,)
        change = np.clip(wanted - acceleration, -jerk * dt, jerk * dt)  # (A,)
        return np.where(limited, velocity + (acceleration + change) * dt, desired)

    def _per_jerk(self) -> tuple[Array, NDArray[np.bool_]] | None:
        """Each joint's jerk limit (A,), 0 where it has none, and which have one; None where no joint has."""
        jerk, limited = self.limits.jerk, np.isfinite(self.limits.jerk)  # (A,)
        return (np.where(limited, jerk, 0.0), limited) if limited.any() else None

    def _correction(self, error: Array, per_jerk: tuple[Array, NDArray[np.bool_]] | None) -> Array:
        """The speed (A,) at which a position error (A,) >= 0 is made good without overshooting."""
        speed = np.minimum(error * (_CORRECTION / self.dt), np.sqrt(self.limits.acceleration * error))  # (A,)
        if per_jerk is None:
            return speed
        jerk, limited = per_jerk  # (A,) both
        # Stopping from v with limited jerk takes v * sqrt(v / jerk); half of the speed leaves a margin.
        return np.minimum(speed, np.where(limited, 0.5 * np.cbrt(jerk * error**2), np.inf))
