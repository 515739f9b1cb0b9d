# SPDX-License-Identifier: Apache-2.0
"""How a group of joints goes along its path: as fast as the policy asks, or slower where limits need it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.path._time_scaling import (
    CATCH_UP,
    JointLimits,
    Schedule,
    fastest_rates,
    reachable,
    sample_path,
    smooth_path,
    stop_by_the_end,
)

Array = NDArray[np.float64]

# Shares of the limits that the time scaling uses. The limiter behind it needs the rest to correct small
# errors.
_IN_TIME = 0.15  # [knots] a smaller delay is not made up for
_VELOCITY_SHARE, _ACCELERATION_SHARE = 0.98, 0.95
_BRAKING_SHARES = (1.0, 0.75)  # of the limits for coming to rest in time: the second one if the first fails
_AT_REST = 1e-2  # [rows per knot] the limiter stops the rest of it
_ROUNDING = 1e-6  # of rates
_LIMITS = ("velocity", "acceleration")  # that time scaling keeps


@dataclass(frozen=True, slots=True, eq=False)
class PathMotion:
    """The motion of a group's joints along their path, at the knots of a plan.

    Attributes:
        positions, velocities: (K, S) [rad or m, per s]; at rest at the last knot.
        progress: (K,) rows of the path that have been passed.
        slowed: bool (K,), where the joints go slower than the policy asks because of a limit.
        counts: for each limit that slows the joints down, the number of knots at which each joint would break
            it at full speed, (S,).
    """

    positions: Array
    velocities: Array
    progress: Array
    slowed: NDArray[np.bool_]
    counts: dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """The path of a group's joints.

    Attributes:
        rows: (M+1, S) [rad or m]; the first one is where the joints are.
        velocity: (S,) at the first row [rad/s or m/s].
        delay: how many knots the joints are behind the policy.
        max_rate: rows per knot at most; below 1, the joints are too fast now and must slow down.
        transition: number of rows that lead from another motion to this one.
    """

    rows: Array
    velocity: Array
    delay: float
    max_rate: float
    transition: int = 0


class PathDriver:
    """Chooses how fast a group of joints goes along its path."""

    def __init__(self, limits: Limits, scaled: NDArray[np.bool_], dt: float) -> None:
        """Prepare.

        Args:
            limits: of the group's joints.
            scaled: bool (S,), joints whose limits slow the group down. The others, grippers, only follow.
            dt: spacing of the knots [s].
        """
        self._scaled, self._dt = scaled, dt
        self._change = limits.acceleration * dt  # (S,) largest change of a velocity from knot to knot
        velocity, acceleration = limits.velocity[scaled] * dt, limits.acceleration[scaled] * dt * dt  # (S',)
        self._limits = JointLimits(velocity, acceleration)
        self._aimed_at = JointLimits(velocity * _VELOCITY_SHARE, acceleration * _ACCELERATION_SHARE)

    def drive(self, path: Path, knots: int) -> PathMotion:
        """The motion along ``path`` for at most ``knots`` knots, at rest at the last one."""
        dt = self._dt
        braking = int((np.abs(path.velocity) / self._change).max()) + 2  # knots that full braking takes
        waiting = max(braking - (len(path.rows) - 1), 0)  # rows to stay at the end of a short path
        whole = np.pad(path.rows, ((0, waiting), (0, 0)), mode="edge") if waiting else path.rows  # (M+1, S)
        curve, tangents = smooth_path(whole)  # (M+1, S) both
        velocity = path.velocity * dt  # (S,) per knot
        counts = self._breaks(tangents[: knots + 1], velocity)
        if path.max_rate >= 1.0 and self._suits_full_speed(counts, path):
            position, rate = self._at_full_speed(tangents[: knots + 1], velocity)
        else:
            position, rate = self._scaled_down(tangents, velocity, path, knots)
        places, speeds = sample_path(curve, tangents, position, rate)  # (K, S) both
        last = len(rate) - int(np.argmax(rate[::-1]))  # from there on the joints brake because the plan ends
        slowed = (rate < path.max_rate * (1.0 - _ROUNDING)) & (np.arange(len(rate)) < last)  # (K,)
        full = {name: np.zeros(len(self._scaled), np.int64) for name in _LIMITS}  # (S,) each
        for name, broken in counts.items():
            full[name][self._scaled] = broken.sum(axis=0)
        return PathMotion(places, speeds / dt, position, slowed, full)

    def _suits_full_speed(self, counts: dict[str, NDArray[np.bool_]], path: Path) -> bool:
        """Whether the path can be followed as fast as the policy asks.

        Where only the way from the former target to the new one breaks a limit, the policy has changed its
        mind, and that way is nobody's path. The limiter goes it joint by joint. Slowing everything down for
        it would let a policy that is undecided in one joint stop the arms.

        Args:
            counts: by name of the limit, where each scaled joint would break it, (K, S').
            path: says how far that way goes, and how late the joints are.
        """
        broken = np.logical_or.reduce([each.any(axis=1) for each in counts.values()])  # (K,)
        if not broken.any():
            return path.delay < _IN_TIME
        return not broken[path.transition :].any()

    def _at_full_speed(self, tangents: Array, velocity: Array) -> tuple[Array, Array]:
        """Positions on the path and rates (K,): one row per knot, then evenly to rest at the last row.

        Args:
            tangents: (N+1, S) per row.
            velocity: (S,) at the start, per knot.
        """
        speeds = np.concatenate([velocity[None], tangents[1:]])[:, self._scaled]  # (N+1, S')
        return stop_by_the_end(speeds, self._aimed_at.strongest)

    def _scaled_down(self, tangents: Array, velocity: Array, path: Path, knots: int) -> tuple[Array, Array]:
        """Positions on the path and rates (K,) of the fastest motion along it within the limits.

        Args:
            tangents: (M+1, S) per row.
            velocity: (S,) at the start, per knot.
            path: gives the largest rate and the delay.
            knots: number K of knots.
        """
        scaled = self._scaled
        if not scaled.any():
            rate = np.full(knots, path.max_rate)  # (K,)
            return np.minimum(np.cumsum(rate), len(tangents) - 1.0), rate
        rows = min(len(tangents), knots + 3)
        tangents = tangents[:rows, scaled]  # (N+1, S')
        reach = reachable(tangents, self._aimed_at, path.max_rate * CATCH_UP, rows == len(path.rows))  #
        for braking in _BRAKING_SHARES:
            schedule = Schedule(path.max_rate, path.delay, knots, braking)
            position, rate = fastest_rates(tangents, velocity[scaled], self._aimed_at, reach, schedule)
            if rate[-1] < _AT_REST:
                break
        return position, rate

    def _breaks(self, tangents: Array, velocity: Array) -> dict[str, NDArray[np.bool_]]:
        """Which limits the scaled joints would break at one row per knot, (K, S') each."""
        speeds = tangents[1:, self._scaled]  # (K, S')
        changes = np.diff(speeds, axis=0, prepend=velocity[None, self._scaled])  # (K, S')
        return {
            "velocity": np.abs(speeds) > self._limits.fastest,
            "acceleration": np.abs(changes) > self._limits.strongest,
        }
