# SPDX-License-Identifier: Apache-2.0
"""Joins new targets to the active plan without a jump, on one fixed grid of knots.

A new plan repeats the knots from ``now - PLAN_HISTORY`` to ``now + FROZEN_INTERVALS`` exactly as they were
sent, goes along the new path to the plan horizon and ends there at rest. So the part that the controller is
executing never changes, also if the controller's clock is behind ours by up to PLAN_HISTORY.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion._chunk import Chunk
from dit_policy_ros.core.motion._coupled_group import CoupledGroup, NextTarget
from dit_policy_ros.core.motion._plan import PLAN_HISTORY, KnotGrid, Plan
from dit_policy_ros.core.path import LimitedMotion, Limiter, Path, PathDriver, PathMotion, Target

Array = NDArray[np.float64]

FROZEN_INTERVALS = 2  # that a new plan repeats as they were sent, from now on


@dataclass(frozen=True, slots=True, eq=False)
class Splice:
    """A candidate plan; it becomes the active plan only when it is committed.

    Attributes:
        plan: the new plan.
        targets: of each group.
        path_ns: for each group the path times (F + K,) [ns] at the plan's last knots, from the last frozen
            one on.
        limited_knots: number of knots at which a limit changed anything.
        clamped_knots: number of knots at which a limit changed a joint alone, so that a group left its path.
        counts: by name of the limit, the number of knots at which each joint met it, (A,).
    """

    plan: Plan
    targets: Sequence[Chunk]
    path_ns: Sequence[NDArray[np.int64]]
    limited_knots: int
    clamped_knots: int
    counts: dict[str, NDArray[np.int64]]


class Splicer:
    """Keeps the active plan and joins new targets to it."""

    def __init__(
        self,
        limiter: Limiter,
        groups: Sequence[CoupledGroup],
        followers: NDArray[np.bool_],
        position: Array,
        now_ns: int,
        period_ns: int,
    ) -> None:
        """Start at rest.

        Args:
            limiter: keeps the motion within the joint limits.
            groups: the joints that go along one path together.
            followers: bool (A,), joints that never slow their group down.
            position: (A,) where the robot stands [rad or m].
            now_ns: present time [ns].
            period_ns: spacing of the knots [ns].
        """
        self.plan = Plan(np.array([now_ns]), position[None, :].copy(), np.zeros((1, len(position))))
        self.grid = KnotGrid(now_ns, period_ns)
        self._limiter, self._groups, self._followers = limiter, groups, followers
        self._drivers: list[PathDriver] = []
        self._driver_limits: Limits | None = None  # those that the drivers were made for

    def regroup(self, groups: Sequence[CoupledGroup]) -> None:
        """Let other groups of the joints go along the paths from the next plan on."""
        self._groups, self._driver_limits = groups, None

    def first_free_knot(self, now_ns: int) -> int:
        """The first knot that a plan made at ``now_ns`` may still change."""
        return self.grid.at_or_after(now_ns + FROZEN_INTERVALS * self.grid.period_ns) + 1

    def splice(self, now_ns: int, last: int) -> Splice:
        """Join the groups' targets to the active plan. The active plan stays until the result is committed.

        Args:
            now_ns: present time [ns].
            last: the plan ends at this knot, or at the end of the targets if that is earlier.

        Raises:
            ValueError: if ``last`` is before the first free knot.
        """
        first = self.first_free_knot(now_ns)
        knots = last - first + 1
        if knots < 1:
            raise ValueError(f"there is no knot between the first free knot {first} and the last knot {last}")
        frozen_times, positions, velocities = self._frozen(now_ns, first - 1)
        frozen_ns, here, speed = int(frozen_times[-1]), positions[-1], velocities[-1]  # (A,) both
        next_targets = [group.next_target(frozen_ns, here[group.joints], knots) for group in self._groups]
        paths = [
            self._path(group, target, here, speed)
            for group, target in zip(self._groups, next_targets, strict=True)
        ]
        targets = [target.rows for target in next_targets]
        drivers = self._current_drivers()
        motions = [driver.drive(path, knots) for driver, path in zip(drivers, paths, strict=True)]
        before = (velocities[-1] - velocities[-2]) / self.grid.period  # (A,) two knots are always frozen
        limited = self._limiter.follow(here, speed, self._joined(paths, motions), before)
        count = len(limited.positions)
        plan = Plan(
            np.concatenate([frozen_times, self.grid.times_ns(first, first + count - 1)]),
            np.concatenate([positions, limited.positions]),
            np.concatenate([velocities, limited.velocities]),
        )
        return self._counted(plan, targets, motions, limited)

    def commit(self, splice: Splice) -> None:
        """Make a candidate the active plan."""
        self.plan = splice.plan
        for group, target, path_ns in zip(self._groups, splice.targets, splice.path_ns, strict=True):
            group.commit(target, splice.plan.times_ns[-len(path_ns) :], path_ns)

    def _frozen(self, now_ns: int, last: int) -> tuple[NDArray[np.int64], Array, Array]:
        """What the next plan repeats of the active one: times (F,), positions and velocities (F, A)."""
        earliest = self.grid.at_or_before(now_ns - round(PLAN_HISTORY * 1e9))
        begin = max(earliest, self.grid.at_or_after(int(self.plan.times_ns[0])))
        times_ns = self.grid.times_ns(begin, last)  # (F,)
        return times_ns, *self.plan.sample(times_ns)

    def _path(self, group: CoupledGroup, target: NextTarget, here: Array, speed: Array) -> Path:
        """The path of a group from ``here`` (A,), left at ``speed`` (A,), within the position limits."""
        low, high = self._limiter.limits.position_min, self._limiter.limits.position_max  # (A,) both
        rows = np.minimum(np.maximum(target.rows.actions, low[group.joints]), high[group.joints])  # (M, S)
        start = here[None, group.joints]  # (1, S)
        return Path(
            np.concatenate([start, rows]),
            speed[group.joints],
            target.delay,
            target.max_rate,
            target.transition,
        )

    def _current_drivers(self) -> list[PathDriver]:
        """A driver for each group, with the present limits."""
        limits = self._limiter.limits
        if limits is not self._driver_limits:
            self._driver_limits, period = limits, self.grid.period
            self._drivers = [
                PathDriver(limits.of_joints(group.joints), ~self._followers[group.joints], period)
                for group in self._groups
            ]
        return self._drivers

    def _joined(self, paths: Sequence[Path], motions: Sequence[PathMotion]) -> Target:
        """The motions of all groups as one target; a group that ends first waits there."""
        knots = max(len(motion.positions) for motion in motions)
        joints = len(self._followers)
        parts = np.empty((4, knots, joints))  # positions, velocities, lowest, highest
        for group, path, motion in zip(self._groups, paths, motions, strict=True):
            count = len(motion.positions)
            rest = path.rows[min(int(motion.progress[-1]) + 1, len(path.rows) - 1) :]  # (R, S)
            target = Target.of(motion.positions, motion.velocities, rest)
            columns = (target.positions, target.velocities, target.lowest, target.highest)
            for part, column in zip(parts, columns, strict=True):
                part[:count, group.joints] = column
                part[count:, group.joints] = column[-1]
            parts[1][count:, group.joints] = 0.0
        return Target(*parts)

    def _counted(
        self,
        plan: Plan,
        targets: Sequence[Chunk],
        motions: Sequence[PathMotion],
        limited: LimitedMotion,
    ) -> Splice:
        """The candidate, with what was limited."""
        counts = {name: count.copy() for name, count in limited.counts.items()}  # (A,) each
        changed = np.asarray(limited.limited.any(axis=1))  # (K,)
        path_ns = []
        for group, target, motion in zip(self._groups, targets, motions, strict=True):
            changed[: len(motion.slowed)] |= motion.slowed
            for name, count in (motion.counts | self._beyond_limits(group, target, len(changed))).items():
                counts[name][group.joints] = np.maximum(counts[name][group.joints], count)
            steps = np.zeros(len(changed) + 1)  # (K + 1,) rows; 0 at the frozen knot
            steps[1 : len(motion.progress) + 1] = motion.progress
            steps[len(motion.progress) + 1 :] = motion.progress[-1]
            start_ns = target.stamp_ns - target.period_ns
            path_ns.append(start_ns + np.rint(steps * target.period_ns).astype(np.int64))
        alone = limited.limited[:, ~self._followers].any(axis=1)  # (K,)
        # At full speed a joint may break a limit at more knots than the slower motion has.
        limited_knots = max(int(changed.sum()), *(int(count.max()) for count in counts.values()))
        return Splice(plan, targets, path_ns, limited_knots, int(alone.sum()), counts)

    def _beyond_limits(self, group: CoupledGroup, target: Chunk, knots: int) -> dict[str, NDArray[np.int64]]:
        """At how many of the first ``knots`` rows each joint's target is beyond its position limits, (S,)."""
        limits, rows = self._limiter.limits, target.actions[:knots]  # (K, S)
        below, above = limits.position_min[group.joints], limits.position_max[group.joints]  # (S,) both
        return {"position": ((rows < below) | (rows > above)).sum(axis=0)}
