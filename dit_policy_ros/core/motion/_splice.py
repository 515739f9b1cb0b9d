# SPDX-License-Identifier: Apache-2.0
"""Joins a new target to the active plan without a jump, on one fixed grid of knots.

A new plan repeats the knots from ``now - PLAN_HISTORY`` to ``now + FROZEN_INTERVALS`` exactly as they were
sent, cross-fades the next few knots from the former target to the new one, follows the new target to the plan
horizon and ends there at rest. So the part that the controller is executing never changes, also if its clock
differs a little from ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.motion._limits import LimitedMotion, Limiter
from dit_policy_ros.core.motion._plan import PLAN_HISTORY, KnotGrid, Plan

Array = NDArray[np.float64]

FROZEN_INTERVALS = 2  # that a new plan repeats as they were sent, from now on


@dataclass(frozen=True, slots=True, eq=False)
class Splice:
    """A candidate plan; it becomes the active plan only when it is committed.

    Attributes:
        plan: the new plan, from PLAN_HISTORY before now.
        target: (M, A) positions that the plan should follow [rad or m]; may reach beyond the plan's end.
        first: knot of the target's first row.
        motion: the target within the limits, from the first free knot to the plan's end.
    """

    plan: Plan
    target: Array
    first: int
    motion: LimitedMotion


class Splicer:
    """Keeps the active plan and joins new targets to it."""

    def __init__(
        self, limiter: Limiter, grid: KnotGrid, fade_knots: int, position: Array, now_ns: int
    ) -> None:
        """Start at rest.

        Args:
            limiter: keeps new targets within the joint limits.
            grid: the knots of all plans.
            fade_knots: knots over which a new target is cross-faded with the former one.
            position: (A,) where the robot stands [rad or m].
            now_ns: present time [ns].
        """
        self.plan = Plan(np.array([now_ns]), position[None, :].copy(), np.zeros((1, len(position))))
        self.grid = grid
        self._limiter, self._fade_knots = limiter, fade_knots
        self._target: Array = np.empty((0, len(position)))  # (M, A) the target of the active plan
        self._target_first = 0  # knot of its first row

    @property
    def target(self) -> tuple[NDArray[np.int64], Array]:
        """The target of the active plan, also beyond its end: times (M,) [ns] and positions (M, A)."""
        first = self._target_first
        return self.grid.times_ns(first, first + len(self._target) - 1), self._target

    def first_free_knot(self, now_ns: int) -> int:
        """The first knot that a plan made at ``now_ns`` may still change."""
        return self.grid.at_or_after(now_ns + FROZEN_INTERVALS * self.grid.period_ns) + 1

    def splice(self, target: Array, now_ns: int, last: int) -> Splice:
        """Join a new target to the active plan. The active plan stays until the result is committed.

        Args:
            target: (M, A), one row per knot from ``first_free_knot(now_ns)`` on; may reach beyond ``last``.
            now_ns: present time [ns].
            last: the plan ends at this knot, or at the end of the target if that is earlier.

        Raises:
            ValueError: if the target is empty or ``last`` is before the first free knot.
        """
        first = self.first_free_knot(now_ns)
        count = min(last - first + 1, len(target))
        if count < 1:
            raise ValueError(f"there is no knot between the first free knot {first} and the last knot {last}")
        faded = self._cross_fade(first, target)  # (M, A)
        earliest = self.grid.at_or_before(now_ns - round(PLAN_HISTORY * 1e9))
        begin = max(earliest, self.grid.at_or_after(int(self.plan.times_ns[0])))
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
        """Make a candidate the active plan."""
        self.plan, self._target, self._target_first = splice.plan, splice.target, splice.first

    def _cross_fade(self, first: int, target: Array) -> Array:
        """The new target (M, A), its first knots mixed with the former target."""
        faded = target.copy()  # (M, A)
        offset = first - self._target_first  # row of the former target at the new target's first knot
        for j in range(min(self._fade_knots, len(target), len(self._target) - offset)):
            weight = (j + 1) / (self._fade_knots + 1)
            former = self._target[offset + j]  # (A,)
            former = nearest_turn(former, target[j], self._limiter.limits.continuous)  # (A,)
            faded[j] = (1.0 - weight) * former + weight * target[j]
        return faded


def _central_velocities(before: Array, target: Array, dt: float) -> Array:
    """Central differences of a target (M, A) that follows ``before`` (A,) -> (M, A); one-sided at the end."""
    padded = np.concatenate([before[None, :], target, target[-1:]])  # (M + 2, A)
    velocities = (padded[2:] - padded[:-2]) / (2.0 * dt)  # (M, A)
    velocities[-1] *= 2.0  # the padding repeated the last knot
    return velocities
