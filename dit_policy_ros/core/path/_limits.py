# SPDX-License-Identifier: Apache-2.0
"""Keeps the executed motion within the joint limits, also between the knots, and within what the target asks.

Every segment of a plan has constant acceleration: if ``p' = p + (v + v') * dt / 2``, the cubic Hermite
spline through (p, v) and (p', v') is exactly a parabola. So velocities are largest at the knots, the
acceleration of a segment is ``(v' - v) / dt``, and limiting these two limits the motion at every instant.
(With velocities from central differences of arbitrary positions, the spline can need three times that
acceleration between knots.)

The limiter goes forward from the last frozen knot and chooses the velocity at each next knot: the target's
own velocity plus a correction of the position error, clamped to

* the speed from which the joint can still stop within the range that the rest of the target spans,
* the speed from which it can still stop before its position limit,
* the velocity limit,
* the velocities that one interval at the acceleration limit can reach,
* the speed from which it can still stop by the end of the plan.

These make sure that full braking always stays inside, so the clamps never contradict each other. A motion
that no clamp would change is computed at once, without going from knot to knot.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits

Array = NDArray[np.float64]

# Gain g of the position correction: the share of the error that is corrected per interval. Up to 0.343 the
# error recursion e'' = (1 - g/2) e' - (g/2) e has real roots, so corrections of small errors never overshoot.
_CORRECTION = 0.2
LIMIT_NAMES = ("position", "velocity", "acceleration", "jerk")

# How far the motion may leave the range that the rest of the target spans [rad or m]: a motion that turns
# round between two knots has its peak there.
_BEYOND_TARGET = 4e-3
# Stands for the infinite distance to the limits of a continuous joint, in units of a*dt^2.
_UNLIMITED_DISTANCE = 1e12
# A clamp that changes a velocity by less than this [rad/s or m/s] is rounding and not counted.
_NOTICEABLE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LimitedMotion:
    """A target within the limits.

    Attributes:
        positions, velocities: (K, A) [rad or m, rad/s or m/s].
        limited: bool (K, A), where a limit changed a joint alone.
        counts: by name of the limit (LIMIT_NAMES), the number of knots at which it changed each joint, (A,).
    """

    positions: Array
    velocities: Array
    limited: NDArray[np.bool_]
    counts: dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What the limiter follows.

    Attributes:
        positions, velocities: (K, A), one row per knot [rad or m, rad/s or m/s].
        lowest, highest: (K, A) of what the target still asks for from each knot on, also beyond the plan.
    """

    positions: Array
    velocities: Array
    lowest: Array
    highest: Array

    @classmethod
    def of(cls, positions: Array, velocities: Array, rest: Array | None = None) -> "Target":
        """The target with rows (K, A); ``rest`` (R, A) follows after the last knot."""
        rows = positions if rest is None else np.concatenate([positions, rest])  # (K + R, A)
        knots = len(positions)
        return cls(
            positions,
            velocities,
            np.minimum.accumulate(rows[::-1])[::-1][:knots],
            np.maximum.accumulate(rows[::-1])[::-1][:knots],
        )


def fastest_stoppable(distance: Array, acceleration: Array, dt: float) -> Array:
    """The largest v' >= 0 with ``v' * dt / 2 + stopping distance(v') <= distance``.

    The stopping distance is that of full braking from knot to knot, where the last interval ends at rest. In
    units of a*dt and a*dt^2 it is piecewise linear; docs/motion.md derives the inverse that is used here.

    Args:
        distance: (..., A) to the limit [rad or m]; if negative, the result is 0: go no further.
        acceleration: (A,) [rad/s^2 or m/s^2].
        dt: interval [s].

    Returns:
        (..., A) [rad/s or m/s].
    """
    y = np.minimum(distance / (acceleration * dt * dt), _UNLIMITED_DISTANCE)  # (..., A)
    n = np.maximum(
        np.ceil((np.sqrt(1.0 + 8.0 * np.maximum(y, 0.0)) - 1.0) / 2.0), 1.0
    )  # (..., A) braking intervals
    inside = y / n + (n - 1.0) / 2.0  # (..., A)
    return np.where(y >= 0.0, inside, 0.0) * acceleration * dt


class Limiter:
    """Changes target motions so that their execution stays within the limits."""

    def __init__(self, limits: Limits, dt: float) -> None:
        self.limits = limits
        self.dt = dt

    def follow(
        self, position: Array, velocity: Array, target: Target, acceleration: Array | None = None
    ) -> LimitedMotion:
        """Follow ``target`` from a given state and be at rest at its last knot.

        Args:
            position, velocity: (A,) state at the knot before the target's first knot.
            target: one row per knot.
            acceleration: (A,) in the interval before the given state [rad/s^2 or m/s^2]; zero by default.

        Returns:
            The motion at the K knots of the target.

        Raises:
            ValueError: if the target has no knot.
        """
        if len(target.positions) == 0:
            raise ValueError("the target has no knot")
        before = np.zeros_like(velocity) if acceleration is None else acceleration  # (A,)
        unlimited = self._unlimited(position, velocity, target)
        if unlimited is not None and self._keeps_limits(position, velocity, unlimited, target, before):
            unchanged = np.zeros(target.positions.shape, dtype=bool)  # (K, A)
            none = np.zeros(len(position), np.int64)  # (A,)
            return LimitedMotion(*unlimited, unchanged, dict.fromkeys(LIMIT_NAMES, none))
        return self._follow_knot_by_knot(position, velocity, target, before)

    def _unlimited(self, position: Array, velocity: Array, target: Target) -> tuple[Array, Array] | None:
        """Positions and velocities (K, A) that follow the target without any clamp and end at rest.

        The position error e left before each correction obeys ``e' = (1 - g) e + u`` with
        ``u = w' - w - (V + V') dt / 2``, what the target's velocities V do not explain of its positions w.

        Returns:
            None if an error is so large that its correction is limited.
        """
        before = np.concatenate([velocity[None], target.velocities[:-1]])  # (K, A)
        steps = np.diff(target.positions, axis=0, prepend=position[None])  # (K, A)
        unexplained = steps - (before + target.velocities) * (self.dt / 2.0)  # (K, A)
        errors = _error_response(len(steps)) @ unexplained  # (K, A)
        if (np.abs(errors) > self._small_error()).any():
            return None
        velocities = target.velocities + errors * (_CORRECTION / self.dt)  # (K, A)
        velocities[np.abs(velocities) < _NOTICEABLE] = 0.0  # rest is exact
        velocities[-1] = 0.0
        positions = target.positions - (1.0 - _CORRECTION / 2.0) * errors  # (K, A)
        former = (positions[-2], velocities[-2]) if len(steps) > 1 else (position, velocity)  # (A,) both
        positions[-1] = former[0] + former[1] * (self.dt / 2.0)
        return positions, velocities

    def _small_error(self) -> Array:
        """The position errors (A,) up to which a correction is proportional to the error."""
        small = self.limits.acceleration * (self.dt / _CORRECTION) ** 2  # (A,)
        return np.minimum(small, self.limits.jerk * (0.5 * self.dt / _CORRECTION) ** 3)

    def _keeps_limits(
        self, position: Array, velocity: Array, motion: tuple[Array, Array], target: Target, before: Array
    ) -> bool:
        """Whether no clamp would change the motion (positions and velocities, (K, A) each)."""
        limits, dt, (positions, velocities) = self.limits, self.dt, motion
        if not (np.abs(velocities) <= limits.velocity + _NOTICEABLE).all():
            return False
        former_velocities = np.concatenate([velocity[None], velocities[:-1]])  # (K, A)
        changes = velocities - former_velocities  # (K, A)
        if not (np.abs(changes) <= limits.acceleration * dt + _NOTICEABLE).all():
            return False
        if np.isfinite(limits.jerk).any():
            jumps = np.diff(changes, axis=0, prepend=before[None] * dt)  # (K, A)
            if not (np.abs(jumps) <= limits.jerk * dt * dt + _NOTICEABLE).all():
                return False
        inside = (target.positions >= limits.position_min) & (target.positions <= limits.position_max)
        if not inside.all():
            return False
        former = np.concatenate([position[None], positions[:-1]]) + former_velocities * (dt / 2.0)  # (K, A)
        above, below = limits.position_max - former, former - limits.position_min  # (K, A) room [rad or m]
        room = np.where(velocities > 0.0, above, below)  # (K, A) in the direction of motion
        speeds = np.abs(velocities)  # (K, A)
        enough = speeds * (1.5 * dt) + speeds * speeds / (2.0 * limits.acceleration)  # (K, A) and more
        if not (room >= enough).all():
            stoppable = fastest_stoppable(room, limits.acceleration, dt)  # (K, A)
            if not (speeds <= stoppable + _NOTICEABLE).all():
                return False
        if (np.abs(positions - target.positions) <= _NOTICEABLE).all():
            return True  # the target keeps the limits itself, so its own peaks are asked for
        # Where the velocity changes its sign, the peak lies between two knots.
        turns = (former_velocities * velocities < 0.0) & (changes != 0.0)  # (K, A)
        lead = np.where(turns, former_velocities**2 * dt / (2.0 * np.where(turns, -changes, 1.0)), 0.0)
        start = former - former_velocities * (dt / 2.0)  # (K, A) positions at the knots before
        high = np.maximum(positions, start + np.where(former_velocities > 0.0, lead, 0.0))  # (K, A)
        low = np.minimum(positions, start + np.where(former_velocities < 0.0, lead, 0.0))  # (K, A)
        above_range = (high > target.highest + _BEYOND_TARGET) & (high > start + _NOTICEABLE)  # (K, A)
        below_range = (low < target.lowest - _BEYOND_TARGET) & (low < start - _NOTICEABLE)  # (K, A)
        return not (above_range | below_range).any()

    def _follow_knot_by_knot(
        self, position: Array, velocity: Array, target: Target, before: Array
    ) -> LimitedMotion:
        """Follow the target with all clamps; ``before`` (A,) is the acceleration before the start."""
        knots, dt, limits = len(target.positions), self.dt, self.limits
        half = dt / 2.0
        step = limits.acceleration * dt  # (A,) largest change of velocity in one interval
        jerk_limits = self._jerk_limits()
        wanted = np.minimum(np.maximum(target.positions, limits.position_min), limits.position_max)  # (K, A)
        target_velocity = target.velocities  # (K, A)
        beyond = np.minimum(step * half, _BEYOND_TARGET)  # (A,)
        # A joint that can follow its target exactly may also go where the target turns between two knots.
        beyond = np.where(self._follows_exactly(position, velocity, target), np.inf, beyond)  # (A,)
        highest, lowest = target.highest + beyond, target.lowest - beyond  # (K, A)
        # The desired velocity, then the result of each clamp in turn.
        stages = np.empty((6, knots, len(position)))  # (6, K, A)
        to_rest = step * np.arange(knots - 1, -1, -1.0)[:, None]  # (K, A) fastest that can stop by the end
        positions, velocities = np.empty_like(wanted), np.empty_like(wanted)
        for k in range(knots):
            reached = position + velocity * half  # (A,) what the present velocity does of this interval
            error = wanted[k] - (reached + target_velocity[k] * half)  # (A,) without a correction
            correction = np.copysign(self._correction_speed(np.abs(error), jerk_limits), error)  # (A,)
            desired = target_velocity[k] + correction
            stages[0, k] = desired
            # The least important limit first: each one may overrule those before it.
            if jerk_limits is not None:
                desired = self._limit_jerk(desired, velocity, before, target_velocity[k : k + 2])  # (A,)
            stages[1, k] = desired
            stages[2, k], desired = self._limit_range(desired, reached, lowest[k], highest[k])
            stages[3, k] = desired
            desired = np.minimum(np.maximum(desired, -limits.velocity), limits.velocity)  # (A,)
            stages[4, k] = desired
            slowest, fastest = velocity - step, velocity + step  # (A,)
            desired = np.minimum(np.maximum(desired, slowest), fastest)  # (A,)
            stages[5, k] = desired
            chosen = np.minimum(np.maximum(desired, -to_rest[k]), to_rest[k])  # (A,)
            chosen = np.minimum(np.maximum(chosen, slowest), fastest)  # (A,)
            chosen[np.abs(chosen) < _NOTICEABLE] = 0.0  # rest is exact
            position = reached + chosen * half
            before, velocity = (chosen - velocity) / dt, chosen
            positions[k], velocities[k] = position, velocity
        jerk, in_range, *limited = np.abs(np.diff(stages, axis=0)) > _NOTICEABLE  # 5 times (K, A)
        # Once a joint brakes because the plan ends, do not count the other limits.
        counted = ~np.logical_or.accumulate(np.abs(stages[-1]) > to_rest, axis=0)  # (K, A)
        at_limit = np.abs(wanted - target.positions) > _NOTICEABLE  # (K, A)
        by_name = {
            "position": limited[0] | at_limit,
            "velocity": limited[1] & counted,
            "acceleration": limited[2] & counted,
            "jerk": jerk & counted,
        }
        changed = np.logical_or.reduce([in_range & counted, *by_name.values()])  # (K, A)
        counts = {name: by_name[name].sum(axis=0) for name in LIMIT_NAMES}
        return LimitedMotion(positions, velocities, changed, counts)

    def _follows_exactly(self, position: Array, velocity: Array, target: Target) -> NDArray[np.bool_]:
        """Whether each joint starts on its target, which keeps the acceleration limits itself (A,)."""
        steps = np.diff(target.positions, axis=0, prepend=position[None])  # (K, A)
        changes = np.diff(target.velocities, axis=0, prepend=velocity[None])  # (K, A)
        unexplained = np.abs(steps - (target.velocities - changes / 2.0) * self.dt)  # (K, A)
        exact = (unexplained <= _NOTICEABLE) & (
            np.abs(changes) <= self.limits.acceleration * self.dt + _NOTICEABLE
        )  # (K, A)
        return exact.all(axis=0) & np.isinf(self.limits.jerk)

    def _limit_range(
        self, desired: Array, reached: Array, lowest: Array, highest: Array
    ) -> tuple[Array, Array]:
        """The velocity (A,) nearest to the desired one from which a joint can still stop inside a range.

        Args:
            desired: (A,).
            reached: (A,) position after the part of this interval that the present velocity decides.
            lowest, highest: (A,) what the rest of the target spans.

        Returns:
            Within the rest of the target, (A,), and then also within the position limits, (A,).
        """
        limits, dt = self.limits, self.dt
        # A joint beyond the target returns as it likes; one beyond its limit returns at once.
        to_highest, to_lowest = np.maximum(highest - reached, 0.0), np.maximum(reached - lowest, 0.0)  # (A,)
        to_max, to_min = limits.position_max - reached, reached - limits.position_min  # (A,) both
        room = np.minimum(np.minimum(to_highest, to_lowest), np.minimum(to_max, to_min))  # (A,)
        speed = np.abs(desired)  # (A,)
        # An upper bound of the stopping distance: most joints are far from everything and need no clamp.
        enough = speed * (1.5 * dt) + speed * speed / (2.0 * limits.acceleration)  # (A,)
        if (room >= enough).all():
            return desired, desired
        rooms = np.stack([to_highest, to_lowest, to_max, to_min])  # (4, A)
        up, down, up_to_limit, down_to_limit = fastest_stoppable(rooms, limits.acceleration, dt)  # (A,) each
        within = np.minimum(np.maximum(desired, -down), up)  # (A,)
        return within, np.minimum(np.maximum(within, -down_to_limit), up_to_limit)

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


@lru_cache(maxsize=64)
def _error_response(knots: int) -> Array:
    """The matrix (K, K) from what is added to the position error at each knot to the errors."""
    age = np.subtract.outer(np.arange(knots), np.arange(knots))  # (K, K)
    return np.where(age >= 0, (1.0 - _CORRECTION) ** np.maximum(age, 0), 0.0)
