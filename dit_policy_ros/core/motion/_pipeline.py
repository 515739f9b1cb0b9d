# SPDX-License-Identifier: Apache-2.0
"""Turns chunks into checked plans: the one place that decides what the robot is commanded to do.

There is no clock, thread or message here: the caller passes the present time to every call, so tests and
replays are exact. The caller must also serialise the calls.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn, unwrap
from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.errors import ContractError, PlanRejected
from dit_policy_ros.core.motion._blends import Blend
from dit_policy_ros.core.motion._brake import braking_begin, braking_plan, with_history
from dit_policy_ros.core.motion._chunk import Chunk
from dit_policy_ros.core.motion._ensemble import Ensembler, EnsembleSettings
from dit_policy_ros.core.motion._limits import LIMIT_NAMES, Limiter
from dit_policy_ros.core.motion._pacing import Pacing
from dit_policy_ros.core.motion._plan import KnotGrid, Plan
from dit_policy_ros.core.motion._plan_check import check_plan
from dit_policy_ros.core.motion._pose_check import joints_outside_limits
from dit_policy_ros.core.motion._splice import FROZEN_INTERVALS, Splicer

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MotionSettings:
    """How chunks become motion.

    Attributes:
        ensemble: how predictions are averaged.
        plan_horizon: how far a plan reaches beyond now [s]. The arms can keep moving for that long if this
            process dies.
        fade_knots: knots over which a new target is cross-faded with the former one.
        soft_start: time over which the first motion is blended in [s].
        max_tracking_error: (A,) if the measured pose is further from the commanded one than this, a HOLD
            starts from the measured pose [rad or m]; inf disables that.
        hold_duration: how long the braking plan holds its final pose [s]. The controller rejects a trajectory
            that ends in the past, so this is the delivery delay we tolerate.
        pacing: see Pacing.
        task_fade: time over which a change of the task is blended in [s]; 0 uses ``fade_knots`` only.
        pose_tolerance: (A,) motion may start this far outside the position limits [rad or m].
    """

    ensemble: EnsembleSettings
    plan_horizon: float
    fade_knots: int
    soft_start: float
    max_tracking_error: Array
    hold_duration: float = 10.0
    pacing: Pacing = Pacing.CONTINUOUS
    task_fade: float = 0.0
    pose_tolerance: Array = field(default_factory=lambda: np.array(0.02))


# At rest the tracking error is much smaller than in motion. A larger one after a HOLD means that the joint
# was moved by hand or that its controller follows another command.
_MAX_REST_ERROR = 0.1  # [share of max_tracking_error]


class MotionState(StrEnum):
    """State of the motion."""

    WAITING = "waiting"  # at rest, ready for a chunk
    RUNNING = "running"  # a plan made from chunks is active
    HOLD = "hold"  # the braking plan is active; latched until ``resume``


class Pipeline:
    """Chunks -> ensemble -> splice -> limits -> checked plan; a HOLD overrides all of it."""

    def __init__(
        self, joints: tuple[str, ...], limits: Limits, period_ns: int, settings: MotionSettings
    ) -> None:
        """Create a pipeline; ``start`` begins an activation.

        Args:
            joints: their names, for messages.
            limits: of the joints.
            period_ns: spacing of the knots [ns].
            settings: how chunks become motion.

        Raises:
            ContractError: ``plan_horizon`` is too short for a joint to brake within a plan.
        """
        self.joints, self.limits, self.settings = joints, limits, settings
        self.state = MotionState.WAITING
        self.hold_reason = ""
        self._period_ns = period_ns
        self._limiter = Limiter(limits, period_ns * 1e-9)
        self._chunk_end_ns = 0  # of the newest chunk
        self._ensembler = Ensembler(settings.ensemble)
        self._splicer: Splicer | None = None
        self._soft_start: Blend | None = None
        self._former: tuple[NDArray[np.int64], Array] | None = None  # (M,), (M, A) target of the former task
        self._task_fade: Blend | None = None
        self.reset_counters()
        self._check_plan_horizon()

    def reset_counters(self) -> None:
        """Set all counters to zero, as at every activation."""
        self.plans = self.expired_chunks = self.limited_knots = self.holds = 0
        self._limit_counts = {name: np.zeros(len(self.joints), np.int64) for name in LIMIT_NAMES}  # (A,) each
        self._ensembler.disagreements = 0

    @property
    def plan(self) -> Plan:
        """The active plan: the one that was made last.

        Raises:
            ValueError: before ``start``.
        """
        return self._active_splicer.plan

    @property
    def live_chunks(self) -> int:
        """Number of chunks in the ensemble."""
        return len(self._ensembler)

    @property
    def disagreements(self) -> int:
        """How often older chunks were dropped because predictions disagreed."""
        return self._ensembler.disagreements

    def most_limited(self, count: int = 3) -> str:
        """The joints and limits that changed most knots, each with the number of knots; empty if none did."""
        counted = [
            (int(knots), joint, name)
            for name, counts in self._limit_counts.items()
            for joint, knots in zip(self.joints, counts, strict=True)
            if knots
        ]
        worst = sorted(counted, key=lambda entry: -entry[0])[:count]
        return ", ".join(f"{joint} {name} {knots}" for knots, joint, name in worst)

    def start(self, pose: Array, now_ns: int) -> None:
        """Begin at rest at ``pose`` (A,): the measured one at activation, the commanded one after a HOLD.

        Raises:
            PlanRejected: a joint is further outside its limits than ``pose_tolerance``. Nothing has changed.
        """
        tolerance = np.broadcast_to(self.settings.pose_tolerance, pose.shape)  # (A,)
        if problems := joints_outside_limits(pose, self.limits, tolerance, self.joints):
            raise PlanRejected("; ".join(problems))
        grid = KnotGrid(now_ns, self._period_ns)
        self._ensembler.clear()
        self._splicer = Splicer(self._limiter, grid, self.settings.fade_knots, pose, now_ns)
        self._soft_start = self._task_fade = self._former = None
        self.state, self.hold_reason = MotionState.WAITING, ""

    def add_chunk(self, chunk: Chunk, now_ns: int) -> Plan | None:
        """Add a chunk and make the next plan.

        Returns:
            The plan to send; None if the chunk has expired or during a HOLD.

        Raises:
            PlanRejected: the chunk is not finite, or the plan would break a rule. The active plan has not
                changed; the caller should ``hold``.
        """
        if self.state is MotionState.HOLD:
            return None
        if not np.isfinite(chunk.actions).all():
            bad = ", ".join(self.joints[i] for i in np.flatnonzero(~np.isfinite(chunk.actions).all(axis=0)))
            raise PlanRejected(f"the policy's chunk is not finite (NaN or infinite) for {bad}")
        if self.is_too_late(chunk, now_ns):
            self.expired_chunks += 1
            return None
        splicer = self._active_splicer
        first = splicer.first_free_knot(now_ns)
        if self.settings.pacing is Pacing.STOP_AND_GO:
            # Nothing has moved since the observation, so the chunk can start now.
            self._ensembler.clear()
            chunk = replace(chunk, stamp_ns=int(splicer.grid.times_ns(first, first)[0]))
        self._ensembler.drop_ended(int(splicer.grid.times_ns(first, first)[0]))
        self._ensembler.add(chunk)
        self._chunk_end_ns = chunk.end_ns
        return self._advance(now_ns)

    def extend(self, now_ns: int) -> Plan | None:
        """For stop_and_go: the plan for the next part of the current chunk, when it is due.

        Returns:
            The plan to send; None if the active plan still reaches far enough, or to the chunk's end.

        Raises:
            PlanRejected: as ``add_chunk``.
        """
        has_chunk = self.settings.pacing is Pacing.STOP_AND_GO and len(self._ensembler) > 0
        if not has_chunk or self.state is not MotionState.RUNNING:
            return None
        splicer = self._active_splicer
        last = splicer.grid.at_or_before(self._chunk_end_ns)
        remaining_ns = splicer.plan.end_ns - now_ns
        due = 0 < remaining_ns <= round(self.settings.plan_horizon * 0.5e9)
        complete = splicer.plan.end_ns >= int(splicer.grid.times_ns(last, last)[0])
        if not due or complete or last < splicer.first_free_knot(now_ns):
            return None
        return self._advance(now_ns)

    def starved(self, until_ns: int) -> bool:
        """Whether the active plan ends by ``until_ns`` [ns] although motion should continue."""
        continuous = self.settings.pacing is Pacing.CONTINUOUS
        return continuous and self.state is MotionState.RUNNING and self.plan.end_ns <= until_ns

    def is_too_late(self, chunk: Chunk, now_ns: int) -> bool:
        """Whether a chunk ends before the first knot that a plan made at ``now_ns`` [ns] could change."""
        splicer = self._active_splicer
        continuous = self.settings.pacing is Pacing.CONTINUOUS
        return continuous and splicer.grid.at_or_before(chunk.end_ns) < splicer.first_free_knot(now_ns)

    def awaits_chunk(self, now_ns: int) -> bool:
        """Whether the next chunk is due: not during a HOLD, nor while stop_and_go executes the last one."""
        continuous = self.settings.pacing is Pacing.CONTINUOUS
        return self.state is not MotionState.HOLD and (continuous or now_ns >= self.plan.end_ns)

    def accepts_observation(self, since_ns: int) -> bool:
        """Whether the policy may infer from an observation whose history begins at ``since_ns`` [ns].

        Always in continuous motion; in stop_and_go the arms must have been at rest since then. During a HOLD
        a chunk only shows that the policy answers.
        """
        if self.settings.pacing is Pacing.CONTINUOUS or self.state is MotionState.HOLD:
            return True
        return since_ns >= self.plan.end_ns

    def _advance(self, now_ns: int) -> Plan:
        """Makes a plan from the live chunks, checks it and makes it the active plan."""
        splicer = self._active_splicer
        first = splicer.first_free_knot(now_ns)
        times_ns = splicer.grid.times_ns(first, splicer.grid.at_or_before(self._chunk_end_ns))  # (M,)
        frozen, _ = splicer.plan.sample_at(int(times_ns[0]) - self._period_ns)  # (A,)
        target = unwrap(self._ensembler.blend(times_ns), frozen, self.limits.continuous)  # (M, A)
        soft_start = self._soft_start or Blend.from_pose(
            splicer.plan.positions[-1], int(times_ns[0]), self.settings.soft_start
        )
        target = soft_start.apply(times_ns, target)
        task_fade = self._task_fade
        if self._former is not None:
            task_fade = Blend(*self._former, int(times_ns[0]), self.settings.task_fade)
        if task_fade is not None:
            target = task_fade.apply(times_ns, target)
        last = splicer.grid.at_or_before(now_ns + round(self.settings.plan_horizon * 1e9))
        candidate = splicer.splice(target, now_ns, last)
        check_plan(candidate.plan, self.limits, self.joints, now_ns, self.settings.pose_tolerance)
        splicer.commit(candidate)
        self._soft_start, self.state = soft_start, MotionState.RUNNING
        self._task_fade, self._former = task_fade, None
        self.limited_knots += candidate.motion.limited_knots
        for name, count in candidate.motion.counts.items():
            self._limit_counts[name] += count
        self.plans += 1
        return candidate.plan

    def set_velocity_scale(self, scale: float) -> None:
        """Scale the velocity limits by ``scale`` (0 to 1), from the next plan on."""
        self._limiter.limits = self.limits.with_velocity_scale(scale)

    def change_task(self) -> None:
        """Drop the chunks of the former task; the active plan stays until the next chunk arrives."""
        self._ensembler.clear()
        if self.settings.task_fade > 0.0 and self.state is MotionState.RUNNING:
            self._former = self._active_splicer.target

    def hold(
        self, reason: str, now_ns: int, measured: Array | None = None, stopped_ns: int | None = None
    ) -> Plan | None:
        """Brake to rest and stay there until ``resume``.

        Args:
            reason: shown to the operator.
            now_ns: present time [ns].
            measured: (A,) recent measured pose, if any; only used for joints that are further from their
                commanded position than max_tracking_error.
            stopped_ns: plan time at which the controllers stopped [ns]. They stop when their clock is set
                back; None otherwise.

        Returns:
            The braking plan to send; None during a HOLD, which keeps its first reason.
        """
        if self.state is MotionState.HOLD:
            return None
        begin_ns = braking_begin(self.plan, now_ns) if stopped_ns is None else now_ns
        position, velocity = self.plan.sample_at(begin_ns if stopped_ns is None else stopped_ns)  # (A,) both
        velocity = velocity if stopped_ns is None else np.zeros_like(position)  # (A,)
        lost = np.zeros(len(position), dtype=bool)  # (A,)
        if measured is not None:
            measured = nearest_turn(measured, position, self.limits.continuous)
            lost = self._exceeds_tracking_error(measured, position)  # (A,)
            position = np.where(lost, measured, position)  # even outside the limits: a HOLD goes nowhere
            velocity = np.where(lost, 0.0, velocity)
        plan = braking_plan(position, velocity, begin_ns, self.limits, self.settings.hold_duration)
        if stopped_ns is None:  # otherwise the stamps of the active plan mean nothing to the controllers now
            plan = with_history(plan, self.plan, lost)
        self._ensembler.clear()
        self._active_splicer.plan = plan
        self.state, self.hold_reason = MotionState.HOLD, reason
        self.holds += 1
        return plan

    def at_rest(self, now_ns: int) -> bool:
        """Whether the active plan is at rest at ``now_ns``."""
        return not self.plan.sample_at(now_ns)[1].any()

    def resume(
        self, now_ns: int, measured: Array | None = None, uncommanded: NDArray[np.bool_] | None = None
    ) -> bool:
        """Leave the HOLD and start softly from the commanded pose; False while the arms still brake.

        Args:
            now_ns: present time [ns].
            measured: (A,) recent measured pose, if any. A joint starts there instead if it is not where it
                was commanded to be: somebody moved it, or its controller was restarted.
            uncommanded: bool (A,), joints whose controller did not receive the hold; they start at the
                measured pose, too.

        Raises:
            PlanRejected: as ``start``; the HOLD goes on.
        """
        if self.state is not MotionState.HOLD:
            return True
        if not self.at_rest(now_ns):
            return False
        pose = self.plan.positions[-1]  # (A,)
        if measured is not None:
            elsewhere = self._exceeds_tracking_error(measured, pose, _MAX_REST_ERROR)  # (A,)
            if uncommanded is not None:
                elsewhere |= uncommanded
            pose = np.where(elsewhere, measured, pose)
        self.start(pose, now_ns)
        return True

    def describe_tracking_error(self, measured: Array, time_ns: int) -> str:
        """Names the joints whose tracking error at ``time_ns`` exceeds max_tracking_error; empty if none.

        Args:
            measured: (A,) positions measured then [rad or m].
            time_ns: when they were measured [ns].
        """
        commanded, _ = self.plan.sample_at(time_ns)  # (A,)
        return ", ".join(
            f"{self.joints[i]} is at {measured[i]:.4g}, commanded to {commanded[i]:.4g}"
            for i in np.flatnonzero(self._exceeds_tracking_error(measured, commanded))
        )

    def _exceeds_tracking_error(
        self, measured: Array, commanded: Array, share: float = 1.0
    ) -> NDArray[np.bool_]:
        """Which joints (A,) have a tracking error above a share of max_tracking_error."""
        error = nearest_turn(measured, commanded, self.limits.continuous) - commanded  # (A,)
        return np.abs(error) > share * self.settings.max_tracking_error

    @property
    def _active_splicer(self) -> Splicer:
        if self._splicer is None:
            raise ValueError("the pipeline has not been started")
        return self._splicer

    def _check_plan_horizon(self) -> None:
        dt = self._period_ns * 1e-9
        # Now can be just after a knot; the frozen knots and one more follow before the first free knot.
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
