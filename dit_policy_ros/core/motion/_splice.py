# SPDX-License-Identifier: Apache-2.0
"""Continuity between what was sent and what comes next, on one fixed grid of knots.

A new plan keeps the knots up to ``now + frozen`` intervals exactly as they were sent, cross-fades the next
few from the former target to the new one, and follows the new one from there to the blind time, where it
ends at rest. What is being executed never changes under the controller.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest
from dit_policy_ros.core.motion._grid import KnotGrid
from dit_policy_ros.core.motion._limits import LimitedMotion, Limiter
from dit_policy_ros.core.motion._plan import Plan

Array = NDArray[np.float64]

FROZEN_INTERVALS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Splice:
    """A candidate: in force only once it is committed.

    Attributes:
        plan: the new plan, from the last knot at or before now.
        target: (M, A) what the plan was to follow, beyond its end too.
        first: knot of the target's first row.
        motion: what the limiter made of the target.
    """

    plan: Plan
    target: Array
    first: int
    motion: LimitedMotion


class Splicer:
    """Holds the plan in force and joins new targets to it."""

    def __init__(
        self, limiter: Limiter, grid: KnotGrid, fade_knots: int, position: Array, now_ns: int
    ) -> None:
        """Start at rest at ``position`` (A,) at ``now_ns``."""
        self.plan = Plan(np.array([now_ns]), position[None, :].copy(), np.zeros((1, len(position))))
        self.grid = grid
        self._limiter, self._fade_knots = limiter, fade_knots
        self._target: Array = np.empty((0, len(position)))  # (M, A) the former target,
        self._target_first = 0  # from this knot on

    @property
    def target(self) -> tuple[NDArray[np.int64], Array]:
        """What the plan in force was to follow, beyond its end too: knots (M,) [ns] and positions (M, A)."""
        first = self._target_first
        return self.grid.times_ns(first, first + len(self._target) - 1), self._target

    def first_free_knot(self, now_ns: int) -> int:
        """The first knot that a plan made at ``now_ns`` may still change."""
        return self.grid.at_or_after(now_ns + FROZEN_INTERVALS * self.grid.period_ns) + 1

    def splice(self, target: Array, now_ns: int, last: int) -> Splice:
        """Join a new target to the plan in force, without changing what is in force.

        Args:
            target: (M, A), one row per knot from ``first_free_knot(now_ns)`` on; may reach beyond ``last``.
            now_ns: present time [ns].
            last: the plan ends at this knot (or where the target ends, if earlier).

        Raises:
            ValueError: if no free knot is left before ``last`` or the target is empty.
        """
        first = self.first_free_knot(now_ns)
        count = min(last - first + 1, len(target))
        if count < 1:
            raise ValueError(f"no knot is left between the first free one {first} and the last one {last}")
        faded = self._cross_fade(first, target)  # (M, A)
        begin = self.grid.at_or_before(now_ns)
        positions, velocities = self.plan.sample(self.grid.times_ns(begin, first - 1))  # (F, A) frozen
        wanted_velocities = _central_velocities(positions[-1], faded, self.grid.period)  # (M, A)
        before = (velocities[-1] - velocities[-2]) / self.grid.period  # (A,) two knots are always frozen
        motion = self._limiter.follow(
            positions[-1], velocities[-1], faded[:count], wanted_velocities[:count], before
        )
        plan = Plan(
            self.grid.times_ns(begin, first + count - 1),
            np.concatenate([positions, motion.positions]),
            np.concatenate([velocities, motion.velocities]),
        )
        return Splice(plan, faded, first, motion)

    def commit(self, splice: Splice) -> None:
        """Put a candidate in force."""
        self.plan, self._target, self._target_first = splice.plan, splice.target, splice.first

    def _cross_fade(self, first: int, target: Array) -> Array:
        """Mix the former target into the first knots of the new one."""
        faded = target.copy()  # (M, A)
        offset = first - self._target_first  # of the new target's first row in the former one
        for j in range(min(self._fade_knots, len(target), len(self._target) - offset)):
            weight = (j + 1) / (self._fade_knots + 1)
            former = nearest(self._target[offset + j], target[j], self._limiter.limits.continuous)  # (A,)
            faded[j] = (1.0 - weight) * former + weight * target[j]
        return faded


def _central_velocities(before: Array, target: Array, dt: float) -> Array:
    """Velocities of a target (M, A) that follows ``before`` (A,) -> (M, A); the last is one-sided."""
    padded = np.concatenate([before[None, :], target, target[-1:]])  # (M + 2, A)
    velocities = (padded[2:] - padded[:-2]) / (2.0 * dt)  # (M, A)
    velocities[-1] *= 2.0  # the padding repeated the last knot
    return velocities
