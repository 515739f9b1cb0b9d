# SPDX-License-Identifier: Apache-2.0
"""Keeps the executed motion within the joint limits, also between the knots.

Every segment of a plan has constant acceleration: if ``p' = p + (v + v') * dt / 2``, the cubic Hermite
spline through (p, v) and (p', v') is exactly a parabola. So velocities are largest at the knots, the
acceleration of a segment is ``(v' - v) / dt``, and limiting these two limits the motion at every instant.
(With velocities from central differences of arbitrary positions, the spline can need three times that
acceleration between knots.)

The limiter goes forward from the last frozen knot and chooses the velocity at each next knot: the target's
own velocity plus a correction of the position error, clamped to

* the velocity limit,
* the speed from which the joint can still stop before its position limit,
* the speed from which it can still stop by the end of the plan,
* the velocities that one interval at the acceleration limit can reach.

The second and third clamp make sure that full braking always stays inside the limits, so the clamps never
contradict each other. A trajectory that already keeps the limits is not changed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits

Array = NDArray[np.float64]

# Gain g of the position correction: the share of the error that is corrected per interval. Up to 0.343 the
# error recursion e'' = (1 - g/2) e' - (g/2) e has real roots, so corrections never overshoot.
_CORRECTION = 0.2
LIMIT_NAMES = ("position", "velocity", "acceleration", "jerk")

# Stands for the infinite distance to the limits of a continuous joint, in units of a*dt^2.
_UNLIMITED_DISTANCE = 1e12
# A clamp that changes a velocity by less than this [rad/s or m/s] is rounding and not counted.
_NOTICEABLE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LimitedMotion:
    """A target within the limits.

    Attributes:
        positions, velocities: (K, A) [rad or m, rad/s or m/s].
        limited_knots: number of knots at which a limit changed anything.
        counts: by name of the limit (LIMIT_NAMES), the number of knots at which it changed each joint, (A,).
    """

    positions: Array
    velocities: Array
    limited_knots: int
    counts: dict[str, NDArray[np.int64]]


def fastest_stoppable(distance: Array, acceleration: Array, dt: float) -> Array:
    """The largest v' >= 0 with ``v' * dt / 2 + stopping distance(v') <= distance``.

    The stopping distance is that of full braking from knot to knot, where the last interval ends at rest. In
    units of a*dt and a*dt^2 it is piecewise linear; docs/motion.md derives the inverse that is used here.

    Args:
        distance: (A,) to the limit [rad or m]; if negative, the result is 0: go no further.
        acceleration: (A,) [rad/s^2 or m/s^2].
        dt: interval [s].

    Returns:
        (A,) [rad/s or m/s].
    """
    y = np.minimum(distance / (acceleration * dt * dt), _UNLIMITED_DISTANCE)  # (A,)
    n = np.maximum(
        np.ceil((np.sqrt(1.0 + 8.0 * np.maximum(y, 0.0)) - 1.0) / 2.0), 1.0
    )  # (A,) braking intervals
    inside = y / n + (n - 1.0) / 2.0  # (A,)
    return np.where(y >= 0.0, inside, 0.0) * acceleration * dt


class Limiter:
    """Changes target motions so that their execution stays within the limits."""

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
            position, velocity: (A,) state at the knot before the target's first knot.
            target, target_velocity: (K, A), one row per knot.
            acceleration: (A,) in the interval before the given state [rad/s^2 or m/s^2]; zero by default.

        Returns:
            The motion at the K knots of the target.

        Raises:
            ValueError: if the target has no knot.
        """
        knots, dt, limits = len(target), self.dt, self.limits
        if knots == 0:
            raise ValueError("the target has no knot")
        before = np.zeros_like(velocity) if acceleration is None else acceleration  # (A,)
        half = dt / 2.0
        step = limits.acceleration * dt  # (A,) largest change of velocity in one interval
        jerk_limits = self._jerk_limits()
        wanted = np.minimum(np.maximum(target, limits.position_min), limits.position_max)  # (K, A)
        # The desired velocity, then the result of each limit in turn.
        stages = np.empty((len(LIMIT_NAMES) + 1, knots, len(position)))  # (5, K, A)
        to_rest = step * np.arange(knots - 1, -1, -1.0)[:, None]  # (K, A) fastest that can stop by the end
        positions, velocities = np.empty_like(wanted), np.empty_like(wanted)
        for k in range(knots):
            coasting = position + (velocity + target_velocity[k]) * half  # (A,) without a correction
            error = wanted[k] - coasting  # (A,)
            correction = np.copysign(self._correction_speed(np.abs(error), jerk_limits), error)  # (A,)
            desired = target_velocity[k] + correction
            stages[0, k] = desired
            # The least important limit first: each one may overrule those before it.
            if jerk_limits is not None:
                desired = self._limit_jerk(desired, velocity, before, target_velocity[k : k + 2])  # (A,)
            stages[1, k] = desired
            desired = self._limit_position(desired, position, velocity * half)
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
        # Once a joint brakes because the plan ends, do not count the other limits.
        limited[1:] &= ~np.logical_or.accumulate(np.abs(stages[-1]) > to_rest, axis=0)
        limited[0] |= np.abs(wanted - target) > _NOTICEABLE
        return LimitedMotion(
            positions,
            velocities,
            int(limited.any(axis=(0, 2)).sum()),
            {name: limited[i].sum(axis=0) for i, name in enumerate(LIMIT_NAMES)},
        )

    def _limit_position(self, desired: Array, position: Array, drift: Array) -> Array:
        """The velocity (A,) nearest to the desired one from which a joint can still stop inside its limits.

        Args:
            desired, position: (A,).
            drift: (A,) distance that the present velocity covers in half an interval [rad or m].
        """
        limits, dt = self.limits, self.dt
        speed = np.abs(desired)  # (A,)
        above = limits.position_max - position - drift  # (A,) distance to the limit [rad or m]
        below = position + drift - limits.position_min  # (A,)
        # An upper bound of the stopping distance: most joints are far from their limits and need no clamp.
        enough = speed * (1.5 * dt) + speed * speed / (2.0 * limits.acceleration)  # (A,)
        if (np.minimum(above, below) >= enough).all():
            return desired
        low = -fastest_stoppable(below, limits.acceleration, dt)
        return np.minimum(np.maximum(desired, low), fastest_stoppable(above, limits.acceleration, dt))

    def _limit_jerk(
        self, desired: Array, velocity: Array, acceleration: Array, target_velocities: Array
    ) -> Array:
        """The velocity (A,) nearest to the desired one that the jerk limit can reach without overshooting.

        Reaching a velocity with limited jerk is the same problem as reaching a position with limited
        acceleration: the acceleration has to return to the target's own acceleration in time.

        Args:
            desired: (A,) velocity at the next knot.
            velocity: (A,) at this knot.
            acceleration: (A,) in the interval before this knot.
            target_velocities: (1 or 2, A) at the next knot and the one after it.
        """
        dt, limited = self.dt, np.isfinite(self.limits.jerk)  # (A,)
        jerk = np.where(limited, self.limits.jerk, 1.0)  # (A,)
        own = (target_velocities[-1] - target_velocities[0]) / dt  # (A,)
        missing = desired - velocity - own * dt  # (A,)
        wanted = own + np.copysign(fastest_stoppable(np.abs(missing), jerk, dt), missing)  # (A,)
        change = np.clip(wanted - acceleration, -jerk * dt, jerk * dt)  # (A,)
        return np.where(limited, velocity + (acceleration + change) * dt, desired)

    def _jerk_limits(self) -> tuple[Array, NDArray[np.bool_]] | None:
        """The jerk limits (A,), 0 for joints without one, and which joints have one; None if none has."""
        jerk, limited = self.limits.jerk, np.isfinite(self.limits.jerk)  # (A,)
        return (np.where(limited, jerk, 0.0), limited) if limited.any() else None

    def _correction_speed(self, error: Array, jerk_limits: tuple[Array, NDArray[np.bool_]] | None) -> Array:
        """The speed (A,) that corrects a position error (A,) >= 0 without overshooting."""
        speed = np.minimum(error * (_CORRECTION / self.dt), np.sqrt(self.limits.acceleration * error))  # (A,)
        if jerk_limits is None:
            return speed
        jerk, limited = jerk_limits  # (A,) both
        # Stopping from v with limited jerk needs the distance v * sqrt(v / jerk); half the speed is a margin.
        return np.minimum(speed, np.where(limited, 0.5 * np.cbrt(jerk * error**2), np.inf))
