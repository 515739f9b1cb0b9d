# SPDX-License-Identifier: Apache-2.0
"""A group of coupled joints: their chunks, blended into one path, and how far they are along it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn, unwrap
from dit_policy_ros.core.motion._chunk import Blend, Chunk
from dit_policy_ros.core.motion._ensemble import Ensembler, EnsembleSettings
from dit_policy_ros.core.path import PathClock

Array = NDArray[np.float64]

_SPARE_ROWS = 20  # beyond what a plan can reach, for the next plan's cross-fade; a slow motion has many more
_BEYOND_FADE = 2  # rows after the last one that is mixed, whose second difference it still bends
_TINY = 1e-18  # so that no quotient is 0/0
_ROUNDING = 1e-6  # of rates that follow from nanoseconds


@dataclass(frozen=True, slots=True, eq=False)
class BlendSettings:
    """How a new target takes over.

    Attributes:
        fade_knots: knots over which a new target is cross-faded with the former one.
        soft_start: time over which the first motion is blended in [s].
        task_fade: time over which a change of the task is blended in [s]; 0 uses ``fade_knots`` only.
        largest_change: (A,) a target that differs further from the former one is another motion [rad or m].
    """

    fade_knots: int
    soft_start: float
    task_fade: float
    largest_change: Array


@dataclass(frozen=True, slots=True, eq=False)
class NextTarget:
    """What a plan should follow.

    Attributes:
        rows: in path time; the first row comes one step after the last frozen knot.
        max_rate: rows per knot at most; below 1, the joints are too fast now and must slow down.
        delay: how many knots the joints are behind the newest chunk.
        transition: number of rows that lead from another motion to this one.
    """

    rows: Chunk
    max_rate: float
    delay: float
    transition: int


class CoupledGroup:
    """The chunks of joints that go along one path together. All its times are path times, see PathClock."""

    def __init__(
        self,
        joints: NDArray[np.int64],
        ensemble: EnsembleSettings,
        blends: BlendSettings,
        period_ns: int,
    ) -> None:
        """Create an idle group; ``start`` begins an activation.

        Args:
            joints: (S,) their indices in the pipeline.
            ensemble: settings of all joints of the pipeline.
            blends: how a new target takes over.
            period_ns: spacing of the knots [ns].
        """
        self.joints = joints
        self.ensembler = Ensembler(ensemble.of_joints(joints))
        self._continuous = ensemble.continuous[joints]  # (S,)
        self._blends, self._period_ns = blends, period_ns
        self.velocity_scale = 1.0
        self.is_led = False  # by somebody else than the policy
        self.start(np.zeros(len(joints)), 0)

    def start(self, pose: Array, now_ns: int) -> None:
        """Begin at rest at ``pose`` (S,)."""
        self.ensembler.clear()
        self.clock = PathClock(now_ns)
        self.clock.rate = self.velocity_scale
        self.target: Chunk | None = None  # of the active plan, also beyond the plan's end
        self._pose = pose
        self._soft_start: Blend | None = None
        self._former: Chunk | None = None  # the target of the former task
        self._task_fade: Blend | None = None
        self._end_ns = now_ns  # of the newest chunk
        self._transition = 0  # rows
        self._schedule: tuple[int, int] | None = (
            None  # when the newest chunk began, in real and in path time [ns]
        )

    def part(self, joints: NDArray[np.bool_]) -> "CoupledGroup":
        """Some of its joints, bool (S,), as a group of their own that does what they did."""
        part = copy.copy(self)
        part.joints, part._pose = self.joints[joints], self._pose[joints]
        part._continuous = self._continuous[joints]
        part.ensembler, part.clock = self.ensembler.part(joints), copy.copy(self.clock)
        for name in ("target", "_former"):
            chunk = getattr(self, name)
            setattr(part, name, None if chunk is None else chunk.of_joints(joints))
        for name in ("_soft_start", "_task_fade"):
            blend = getattr(self, name)
            former = None if blend is None else replace(blend, former=blend.former.of_joints(joints))
            setattr(part, name, former)
        return part

    def lead(self, rows: Chunk, frozen_ns: int) -> None:
        """Follow the rows of all joints alone, whatever the policy asks for; see ``Pipeline.lead``.

        frozen_ns: the last knot that cannot be changed (real time) [ns].
        """
        self.is_led, self.velocity_scale = True, 1.0
        # A person sees where the arms are: nothing is late, and nothing is mixed with what was asked before.
        self.clock, self.target, self._task_fade, self._former = PathClock(frozen_ns), None, None, None
        self._soft_start = Blend.from_pose(self._pose, frozen_ns, 0.0)
        self.ensembler.clear()
        self.add(rows, rows.stamp_ns)

    def take_from(self, former: Chunk, begin_ns: int, duration: float) -> None:
        """Begin in the midst of a motion of all joints, which the next chunk is blended into.

        Args:
            former: that motion, in real time. It ends at rest.
            begin_ns: when the blend begins (real time) [ns].
            duration: of the blend [s].
        """
        former = former.of_joints(self.joints)
        self.start(former.actions[0], begin_ns)
        self.target, self._end_ns = former, former.end_ns
        self._soft_start = Blend(former, begin_ns, duration)

    def set_velocity_scale(self, scale: float) -> None:
        """Go along the path at ``scale`` times the policy's speed, from the next plan on."""
        self.velocity_scale = self.clock.rate = scale
        self._schedule = None

    def change_task(self, moving: bool) -> None:
        """Drop all chunks; if the arms are ``moving``, the present target is faded into the next one."""
        self.ensembler.clear()
        if moving and self._blends.task_fade > 0.0:
            self._former = self.target

    def reaches(self, chunk: Chunk, time_ns: int) -> bool:
        """Whether a chunk (in real time) still has rows when the joints arrive at ``time_ns`` (real time)."""
        begin_ns, path_ns = self.clock.at(np.array([chunk.stamp_ns, time_ns]))
        return bool(begin_ns + chunk.end_ns - chunk.stamp_ns >= path_ns)

    def add(self, chunk: Chunk, first_free_ns: int) -> None:
        """Add a chunk of all joints that reaches ``first_free_ns`` (both in real time)."""
        path_ns, first_ns = self.clock.at(np.array([chunk.stamp_ns, first_free_ns])).tolist()
        self._schedule = chunk.stamp_ns, path_ns
        chunk = Chunk(path_ns, chunk.period_ns, chunk.actions[:, self.joints])
        self.ensembler.drop_ended(first_ns)
        self.ensembler.add(chunk)
        self._end_ns = chunk.end_ns

    def has_reached_end(self, time_ns: int) -> bool:
        """Whether the newest chunk is carried out at ``time_ns`` (real time)."""
        return bool(self.clock.at(np.array([time_ns]))[0] + self._period_ns > self._end_ns)

    def next_target(self, frozen_ns: int, frozen: Array, knots: int) -> NextTarget:
        """The target of the next plan.

        Args:
            frozen_ns: the last knot that the next plan cannot change (real time) [ns].
            frozen: (S,) positions there [rad or m].
            knots: that the plan can change at most.
        """
        before_ns, now_ns = self.clock.at(np.array([frozen_ns - self._period_ns, frozen_ns])).tolist()
        present, scale = (now_ns - before_ns) / self._period_ns, self.velocity_scale
        rate = present if present > scale * (1.0 + _ROUNDING) else scale
        step_ns = max(round(self._period_ns * rate), 1)
        delay = 0.0
        if self._schedule is not None:
            began_ns, path_ns = self._schedule
            delay = max((frozen_ns - began_ns) * scale - (now_ns - path_ns), 0.0) / (self._period_ns * scale)
        most = knots + _SPARE_ROWS
        rows = Chunk(now_ns + step_ns, step_ns, self._rows(now_ns + step_ns, step_ns, frozen, most))
        return NextTarget(rows, scale / rate, delay, self._transition)

    def _rows(self, begin_ns: int, step_ns: int, frozen: Array, most: int) -> Array:
        """At ``most`` so many blended rows (M, S) from ``begin_ns`` on, which follow ``frozen`` (S,)."""
        count = min(max((self._end_ns - begin_ns) // step_ns + 1, 1), most)
        times_ns = begin_ns + step_ns * np.arange(count, dtype=np.int64)  # (M,)
        times_ns = np.minimum(times_ns, self._end_ns)
        rows = unwrap(self._wanted(times_ns, frozen), frozen, self._continuous)  # (M, S)
        if self._soft_start is None:
            self._soft_start = Blend.from_pose(self._pose, begin_ns, self._blends.soft_start)
        rows = self._soft_start.apply(times_ns, rows)
        if self._former is not None:
            self._task_fade, self._former = Blend(self._former, begin_ns, self._blends.task_fade), None
        if self._task_fade is not None:
            rows = self._task_fade.apply(times_ns, rows)
        return self._cross_fade(times_ns, rows)

    def _wanted(self, times_ns: NDArray[np.int64], frozen: Array) -> Array:
        """What the chunks ask for (M, S). Without any, the former target goes on; without one, stand."""
        if len(self.ensembler):
            return self.ensembler.blend(times_ns)
        if self.target is None:
            return np.tile(frozen, (len(times_ns), 1))
        return self.target.at(np.clip(times_ns, self.target.stamp_ns, self.target.end_ns))

    def commit(self, target: Chunk, times_ns: NDArray[np.int64], path_ns: NDArray[np.int64]) -> None:
        """Make a target that of the active plan; it reaches ``path_ns`` (K,) at ``times_ns`` (K,)."""
        self.target = target
        self.clock.extend(times_ns, path_ns)

    def _cross_fade(self, times_ns: NDArray[np.int64], rows: Array) -> Array:
        """The new target (M, S), its first rows mixed with the former target."""
        self._transition = 0
        if self.target is None:
            return rows
        former = self.target.at(times_ns[: self._blends.fade_knots])  # (F, S)
        known = ~np.isnan(former).any(axis=1)  # (F,)
        count = len(former) if known.all() else int(np.argmin(known))
        weight = (np.arange(1.0, count + 1.0) / (self._blends.fade_knots + 1.0))[:, None]  # (F, 1)
        former = nearest_turn(former[:count], rows[:count], self._continuous)  # (F, S)
        if self._is_another_motion(self.target.actions, former, rows[:count]):
            self._transition = count + _BEYOND_FADE
        rows[:count] = (1.0 - weight) * former + weight * rows[:count]
        return rows

    def _is_another_motion(self, path: Array, former: Array, rows: Array) -> bool:
        """Whether the new target leads away from the former one; being earlier or later on it does not count.

        Args:
            path: (M, S) all rows of the former target.
            former: (F, S) its rows at the times of the new target's first rows.
            rows: (F, S) those.
        """
        share = 1.0 / self._blends.largest_change[self.joints]  # (S,) 0 for joints that do not count
        if (np.abs(former - rows) * share <= 1.0).all():
            return False
        points = nearest_turn(path, former[:1], self._continuous) * share  # (M, S)
        steps = np.diff(points, axis=0)  # (M-1, S)
        length = np.maximum((steps**2).sum(axis=1), _TINY)  # (M-1,)
        away = (rows * share)[:, None] - points[:-1]  # (F, M-1, S)
        passed = (away * steps).sum(axis=2) / length  # (F, M-1)
        passed[:, 1:] = np.maximum(passed[:, 1:], 0.0)  # the path goes on straight before its first row
        passed[:, :-1] = np.minimum(passed[:, :-1], 1.0)  # and after its last one
        distance = np.abs(away - passed[:, :, None] * steps).max(axis=2)  # (F, M-1)
        return bool((distance.min(axis=1, initial=np.inf) > 1.0).any())


def split(groups: Sequence[CoupledGroup], led: NDArray[np.bool_]) -> list[CoupledGroup]:
    """The groups, with the joints ``led`` (A,) in groups of their own."""
    result = []
    for group in groups:
        inside = led[group.joints]  # (S,)
        result += [group.part(part) for part in (inside, ~inside) if part.any()] if inside.any() else [group]
    return result
