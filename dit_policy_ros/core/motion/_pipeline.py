# SPDX-License-Identifier: Apache-2.0
"""From chunks to checked plans: the one place where it is decided what the robot is told.

No clock, no thread and no message in here: every call is given the present time, so that tests and replays
are exact. The caller serialises the calls.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest, unwrapped
from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.errors import ContractError, PlanRejected
from dit_policy_ros.core.motion._brake import braking_plan
from dit_policy_ros.core.motion._chunk import Chunk
from dit_policy_ros.core.motion._ensemble import Ensembler, EnsembleSettings
from dit_policy_ros.core.motion._grid import KnotGrid
from dit_policy_ros.core.motion._limits import LIMIT_NAMES, Limiter
from dit_policy_ros.core.motion._pacing import Pacing
from dit_policy_ros.core.motion._plan import Plan
from dit_policy_ros.core.motion._plan_check import check_plan
from dit_policy_ros.core.motion._soft_start import SoftStart
from dit_policy_ros.core.motion._splice import FROZEN_INTERVALS, Splicer
from dit_policy_ros.core.motion._task_fade import TaskFade

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MotionSettings:
    """How chunks become motion.

    Attributes:
        ensemble: what is averaged.
        plan_horizon: a plan reaches this far beyond now [s]: so long can the arm move after we die.
        fade_knots: knots over which a new target is faded in.
        soft_start: time over which the first motion is blended in [s].
        max_tracking_error: (A,) where the measured pose lies further from the commanded one, HOLD starts
            from the measured pose [rad or m]; inf never does.
        hold_rest: how long a braking plan stands at its end [s]; so late may it arrive, on a machine that
            stalls, and still be taken.
        pacing: see Pacing.
        task_fade: time over which a change of the task is blended in [s]; 0 leaves it to ``fade_knots``.
    """

    ensemble: EnsembleSettings
    plan_horizon: float
    fade_knots: int
    soft_start: float
    max_tracking_error: Array
    hold_rest: float = 10.0
    pacing: Pacing = Pacing.CONTINUOUS
    task_fade: float = 0.0


# An arm at rest stands much closer to its command than a moving one follows it; one that does not has another
# command in force than the hold.
_STANDS_WITHIN = 0.1  # [share of max_tracking_error]


class MotionState(StrEnum):
    """Where the motion stands."""

    WAITING = "waiting"  # at rest, ready for a chunk
    RUNNING = "running"  # a plan made from chunks is in force
    HOLD = "hold"  # a braking plan is in force, latched


class Pipeline:
    """Chunks -> ensemble -> splice -> limits -> checked plan; and HOLD, which overrides them all."""

    def __init__(
        self, joints: tuple[str, ...], limits: Limits, period_ns: int, settings: MotionSettings
    ) -> None:
        """Prepare for one activation after the other.

        Raises:
            ContractError: where ``plan_horizon`` is too short for a joint to brake within a plan.
        """
        self.joints, self.limits, self.settings = joints, limits, settings
        self.state = MotionState.WAITING
        self.hold_reason = ""
        self._period_ns = period_ns
        self._limiter = Limiter(limits, period_ns * 1e-9)
        self._chunk_end_ns = 0  # of the newest chunk
        self._ensembler = Ensembler(settings.ensemble)
        self._splicer: Splicer | None = None
        self._soft_start: SoftStart | None = None
        self._former: tuple[NDArray[np.int64], Array] | None = None  # (M,), (M, A) of the task before
        self._task_fade: TaskFade | None = None
        self.restart_counters()
        self._require_room_to_brake()

    def restart_counters(self) -> None:
        """Begin to count at zero, as an activation does."""
        self.plans = self.expired_chunks = self.limited_knots = self.holds = 0
        self._limit_counts = {name: np.zeros(len(self.joints), np.int64) for name in LIMIT_NAMES}  # (A,) each
        self._ensembler.disagreements = 0

    @property
    def plan(self) -> Plan:
        """The plan in force.

        Raises:
            ValueError: before ``start``.
        """
        return self._started.plan

    @property
    def live_chunks(self) -> int:
        """Chunks that the ensemble holds."""
        return len(self._ensembler)

    @property
    def disagreements(self) -> int:
        """Times that the disagreement gate dropped older chunks."""
        return self._ensembler.disagreements

    def limited_most(self, most: int = 3) -> str:
        """Names the joints and limits that changed most knots, in how many; empty where none did."""
        counted = [
            (int(count), joint, name)
            for name, counts in self._limit_counts.items()
            for joint, count in zip(self.joints, counts, strict=True)
            if count
        ]
        worst = sorted(counted, key=lambda entry: -entry[0])[:most]
        return ", ".join(f"{joint} {name} {count}" for count, joint, name in worst)

    def start(self, pose: Array, now_ns: int) -> None:
        """Begin at rest at ``pose`` (A,): measured at activation, commanded after a HOLD."""
        inside = self._inside(pose)  # (A,) sag of a hair's breadth
        grid = KnotGrid(now_ns, self._period_ns)
        self._ensembler.clear()
        self._splicer = Splicer(self._limiter, grid, self.settings.fade_knots, inside, now_ns)
        self._soft_start = self._task_fade = self._former = None
        self.state, self.hold_reason = MotionState.WAITING, ""

    def add_chunk(self, chunk: Chunk, now_ns: int) -> Plan | None:
        """Take in a chunk and make the next plan.

        Returns:
            The plan to send; None when the chunk came too late to matter, or while holding.

        Raises:
            PlanRejected: the chunk is not finite, or the plan would break a rule; nothing has changed, and
                the caller is expected to ``hold``.
        """
        if self.state is MotionState.HOLD:
            return None
        if not np.isfinite(chunk.actions).all():
            bad = ", ".join(self.joints[i] for i in np.flatnonzero(~np.isfinite(chunk.actions).all(axis=0)))
            raise PlanRejected(f"the policy's chunk is not finite (NaN or infinite) for {bad}")
        splicer = self._started
        first = splicer.first_free_knot(now_ns)
        if self.settings.pacing is Pacing.STOP_AND_GO:
            # Nothing has moved since the observation, so the chunk may count from now on.
            self._ensembler.clear()
            chunk = replace(chunk, stamp_ns=int(splicer.grid.times_ns(first, first)[0]))
        if splicer.grid.at_or_before(chunk.end_ns) < first:
            self.expired_chunks += 1
            return None
        self._ensembler.forget_before(int(splicer.grid.times_ns(first, first)[0]))
        self._ensembler.add(chunk)
        self._chunk_end_ns = chunk.end_ns
        return self._advance(now_ns)

    def extend(self, now_ns: int) -> Plan | None:
        """For stop_and_go: the next stretch of the chunk that is being carried out, when it is due.

        Returns:
            The plan to send; None where the plan in force reaches far enough, or to the chunk's end.

        Raises:
            PlanRejected: as ``add_chunk``.
        """
        in_turns = self.settings.pacing is Pacing.STOP_AND_GO and len(self._ensembler) > 0
        if not in_turns or self.state is not MotionState.RUNNING:
            return None
        splicer = self._started
        last = splicer.grid.at_or_before(self._chunk_end_ns)
        remaining_ns = splicer.plan.end_ns - now_ns
        due = 0 < remaining_ns <= round(self.settings.plan_horizon * 0.5e9)
        reached = splicer.plan.end_ns >= int(splicer.grid.times_ns(last, last)[0])
        if not due or reached or last < splicer.first_free_knot(now_ns):
            return None
        return self._advance(now_ns)

    def starved(self, until_ns: int) -> bool:
        """Whether the plan in force ends by then [ns] though motion should go on."""
        continuous = self.settings.pacing is Pacing.CONTINUOUS
        return continuous and self.state is MotionState.RUNNING and self.plan.end_ns <= until_ns

    def may_observe(self, since_ns: int) -> bool:
        """Whether it is the policy's turn, given an observation that begins at ``since_ns``."""
        if self.settings.pacing is Pacing.CONTINUOUS:
            return True
        plan = self.plan  # after a start it is one knot, at rest from then on
        return since_ns >= plan.end_ns

    def _advance(self, now_ns: int) -> Plan:
        """The live chunks -> a plan, checked and in force."""
        splicer = self._started
        first = splicer.first_free_knot(now_ns)
        times_ns = splicer.grid.times_ns(first, splicer.grid.at_or_before(self._chunk_end_ns))  # (M,)
        frozen, _ = splicer.plan.sample_at(int(times_ns[0]) - self._period_ns)  # (A,)
        target = unwrapped(self._ensembler.blend(times_ns), frozen, self.limits.continuous)  # (M, A)
        soft_start = self._soft_start or SoftStart(
            splicer.plan.positions[-1], int(times_ns[0]), self.settings.soft_start
        )
        target = soft_start.apply(times_ns, target)
        task_fade = self._task_fade
        if self._former is not None:
            task_fade = TaskFade(*self._former, int(times_ns[0]), self.settings.task_fade)
        if task_fade is not None:
            target = task_fade.apply(times_ns, target)
        last = splicer.grid.at_or_before(now_ns + round(self.settings.plan_horizon * 1e9))
        candidate = splicer.splice(target, now_ns, last)
        check_plan(candidate.plan, self.limits, self.joints, now_ns)
        splicer.commit(candidate)
        self._soft_start, self.state = soft_start, MotionState.RUNNING
        self._task_fade, self._former = task_fade, None
        self.limited_knots += candidate.motion.limited_knots
        for name, count in candidate.motion.counts.items():
            self._limit_counts[name] += count
        self.plans += 1
        return candidate.plan

    def slow_down(self, scale: float) -> None:
        """From the next plan on, keep velocities below so much (0 to 1) of their limits."""
        self._limiter.limits = self.limits.slowed(scale)

    def flush(self) -> None:
        """Forget the live chunks; the plan in force stays. For a change of the task."""
        self._ensembler.clear()
        if self.settings.task_fade > 0.0 and self.state is MotionState.RUNNING:
            self._former = self._started.target

    def hold(
        self, reason: str, now_ns: int, measured: Array | None = None, stopped_ns: int | None = None
    ) -> Plan | None:
        """Brake to rest and stay there until ``resume``.

        Args:
            reason: why, for the operator.
            now_ns: present time [ns].
            measured: (A,) fresh measured pose, if there is one; only used where it is far from the commanded.
            stopped_ns: the time of the plan at which the controllers stopped short [ns], where they did: they
                do so when their clock is set back.

        Returns:
            The braking plan to send, once; None when already holding: the first reason stays.
        """
        if self.state is MotionState.HOLD:
            return None
        position, velocity = self._started.plan.sample_at(now_ns if stopped_ns is None else stopped_ns)
        velocity = velocity if stopped_ns is None else np.zeros_like(position)  # (A,) both
        if measured is not None:
            measured = nearest(measured, position, self.limits.continuous)
            lost = self._off(measured, position)  # (A,)
            position = np.where(lost, self._inside(measured), position)
            velocity = np.where(lost, 0.0, velocity)
        plan = braking_plan(position, velocity, now_ns, self.limits, self.settings.hold_rest)
        self._ensembler.clear()
        self._started.plan = plan
        self.state, self.hold_reason = MotionState.HOLD, reason
        self.holds += 1
        return plan

    def at_rest(self, now_ns: int) -> bool:
        """Whether the plan in force has come to rest."""
        return not self._started.plan.sample_at(now_ns)[1].any()

    def resume(
        self, now_ns: int, measured: Array | None = None, uncommanded: NDArray[np.bool_] | None = None
    ) -> bool:
        """Leave HOLD, softly, from the commanded pose; False while the arms still brake.

        Args:
            now_ns: present time [ns].
            measured: (A,) fresh measured pose, if there is one: there starts a joint that does not stand
                where it was commanded to (it was moved, or its controller restarted),
            uncommanded: (A,) and a joint whose controller has not got the hold.
        """
        if self.state is not MotionState.HOLD:
            return True
        if not self.at_rest(now_ns):
            return False
        pose = self._started.plan.positions[-1]  # (A,)
        if measured is not None:
            elsewhere = self._off(measured, pose, _STANDS_WITHIN)  # (A,)
            if uncommanded is not None:
                elsewhere |= uncommanded
            pose = np.where(elsewhere, measured, pose)
        self.start(pose, now_ns)
        return True

    def astray(self, measured: Array, time_ns: int) -> str:
        """Names joints that were measured (A,) at ``time_ns`` too far from the commanded; empty if none."""
        commanded, _ = self._started.plan.sample_at(time_ns)  # (A,)
        return ", ".join(
            f"{self.joints[i]} is at {measured[i]:.4g}, commanded to {commanded[i]:.4g}"
            for i in np.flatnonzero(self._off(measured, commanded))
        )

    def _off(self, measured: Array, commanded: Array, share: float = 1.0) -> NDArray[np.bool_]:
        """Which joints (A,) are off by more than a share of max_tracking_error."""
        error = nearest(measured, commanded, self.limits.continuous) - commanded  # (A,)
        return np.abs(error) > share * self.settings.max_tracking_error

    def _inside(self, pose: Array) -> Array:
        return np.clip(pose, self.limits.position_min, self.limits.position_max)

    @property
    def _started(self) -> Splicer:
        if self._splicer is None:
            raise ValueError("the pipeline has not been started")
        return self._splicer

    def _require_room_to_brake(self) -> None:
        dt = self._period_ns * 1e-9
        # Now may lie just behind a knot, the frozen knots are kept, and the first free one follows them.
        free = int(self.settings.plan_horizon / dt + 1e-9) - FROZEN_INTERVALS - 2
        braking = self.limits.velocity / self.limits.acceleration  # (A,) [s]
        short = np.flatnonzero(braking > free * dt + 1e-9)
        if len(short):
            slowest = short[np.argmax(braking[short])]
            needed = braking[slowest] + (FROZEN_INTERVALS + 2) * dt
            joint, limits = self.joints[slowest], self.limits
            raise ContractError(
                f"plan_horizon is {self.settings.plan_horizon:g} s, but {joint} needs "
                f"{braking[slowest]:.3f} s to brake from its velocity limit {limits.velocity[slowest]:g} at "
                f"its acceleration limit {limits.acceleration[slowest]:g}. Raise plan_horizon to "
                f"{needed:.2f} s or more, or lower limits.{joint}.velocity."
            )
