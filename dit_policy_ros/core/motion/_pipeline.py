# SPDX-License-Identifier: Apache-2.0
"""Turns chunks into checked plans: the one place that decides what the robot is commanded to do.

There is no clock, thread or message here: the caller passes the present time to every call, so tests and
replays are exact. The caller must also serialise the calls.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion._brake import braking_begin, braking_plan, stop, with_history
from dit_policy_ros.core.motion._chunk import Chunk, advanced
from dit_policy_ros.core.motion._continuation import Continuation, continuation
from dit_policy_ros.core.motion._coupled_group import split
from dit_policy_ros.core.motion._motion_groups import MotionGroups
from dit_policy_ros.core.motion._pacing import Pacing, check_plan_horizon
from dit_policy_ros.core.motion._plan import Plan
from dit_policy_ros.core.motion._plan_check import check_plan, joints_outside_limits
from dit_policy_ros.core.motion._settings import MotionSettings, MotionState
from dit_policy_ros.core.motion._splice import Splicer
from dit_policy_ros.core.path import LIMIT_NAMES

Array = NDArray[np.float64]


# At rest the tracking error is much smaller than in motion. A larger one after a HOLD means that the joint
# was moved by hand or that its controller follows another command.
_MAX_REST_ERROR = 0.1  # [share of max_tracking_error]


class Pipeline(MotionGroups):
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
        super().__init__(joints, limits, period_ns, settings)
        self.state = MotionState.WAITING
        self.hold_reason = ""
        self._newest: Chunk | None = None  # of the policy; None after a HOLD or a change of the task
        self.reset_counters()
        check_plan_horizon(joints, limits, settings.plan_horizon, period_ns * 1e-9)

    def reset_counters(self) -> None:
        """Set all counters to zero, as at every activation."""
        self.plans = self.expired_chunks = self.holds = 0
        self.limited_knots = self.clamped_knots = 0
        self._limit_counts = {name: np.zeros(len(self.joints), np.int64) for name in LIMIT_NAMES}  # (A,) each
        self.reset_disagreements()

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
        for group in self._groups:
            group.start(pose[group.joints], now_ns)
        self._splicer = Splicer(self._limiter, self._groups, self._followers, pose, now_ns, self._period_ns)
        self.state, self.hold_reason, self._newest = MotionState.WAITING, "", None

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
            if self.led.all():  # nobody follows the policy now
                self._newest = None
                return None
            bad = ", ".join(self.joints[i] for i in np.flatnonzero(~np.isfinite(chunk.actions).all(axis=0)))
            raise PlanRejected(f"the policy's chunk is not finite (NaN or infinite) for {bad}")
        if self.is_too_late(chunk, now_ns):
            self.expired_chunks += 1
            return None
        first_ns, chunk = self.first_free_ns(now_ns), advanced(chunk, self._lead_ns)
        self._newest = chunk
        if self.state is MotionState.INTERVENTION:
            for group in self._groups:
                if not group.is_led:
                    group.add(chunk, first_ns)
            return None  # the next plan is that of ``lead``
        if self.settings.pacing is Pacing.STOP_AND_GO:
            # Nothing has moved since the observation, so the chunk can start now.
            for group in self._groups:
                group.ensembler.clear()
            chunk = replace(chunk, stamp_ns=first_ns)
        for group in self._groups:
            group.add(chunk, first_ns)
        return self._advance(now_ns)

    def extend(self, now_ns: int) -> Plan | None:
        """For stop_and_go: the plan for the next part of the current chunk, when it is due.

        Returns:
            The plan to send; None if the active plan still reaches far enough, or to the chunk's end.

        Raises:
            PlanRejected: as ``add_chunk``.
        """
        has_chunk = self.settings.pacing is Pacing.STOP_AND_GO and self.live_chunks > 0
        if not has_chunk or self.state is not MotionState.RUNNING:
            return None
        splicer = self._active_splicer
        remaining_ns = splicer.plan.end_ns - now_ns
        due = 0 < remaining_ns <= round(self.settings.plan_horizon * 0.5e9)
        if not due or all(group.has_reached_end(splicer.plan.end_ns) for group in self._groups):
            return None
        return self._advance(now_ns)

    def starved(self, until_ns: int) -> bool:
        """Whether the active plan ends by ``until_ns`` [ns] although motion should continue."""
        continuous = self.settings.pacing is Pacing.CONTINUOUS
        return continuous and self.state is MotionState.RUNNING and self.plan.end_ns <= until_ns

    def awaits_chunk(self, now_ns: int) -> bool:
        """Whether the next chunk is due: not during a HOLD, nor while stop_and_go executes the last one."""
        continuous = self.settings.pacing is Pacing.CONTINUOUS
        needs_chunks = self.state is not MotionState.HOLD and not self.led.all()
        return needs_chunks and (continuous or now_ns >= self.plan.end_ns)

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
        last = splicer.grid.at_or_before(now_ns + round(self.settings.plan_horizon * 1e9))
        candidate = splicer.splice(now_ns, last)
        check_plan(candidate.plan, self.limits, self.joints, now_ns, self.settings.pose_tolerance)
        splicer.commit(candidate)
        self.state = MotionState.INTERVENTION if self.led.any() else MotionState.RUNNING
        self.limited_knots += candidate.limited_knots
        self.clamped_knots += candidate.clamped_knots
        for name, count in candidate.counts.items():
            self._limit_counts[name] += count
        self.plans += 1
        return candidate.plan

    def change_task(self) -> None:
        """Drop the chunks of the former task; the active plan stays until the next chunk arrives."""
        self._newest, is_moving = None, self.state in (MotionState.RUNNING, MotionState.INTERVENTION)
        for group in self._groups:
            if not group.is_led:
                group.change_task(moving=is_moving)

    def take_over(self, joints: NDArray[np.bool_], now_ns: int) -> Plan:
        """Let somebody else than the policy lead ``joints`` (A,); those that were led before still are.

        Returns:
            How all joints would brake to rest from the last frozen knot on. ``lead`` must follow.

        Raises:
            ValueError: during a HOLD.
        """
        if self.state is MotionState.HOLD:
            raise ValueError("nobody can take over during a HOLD: resume first")
        self._regroup(split(self._groups, joints))
        self.led, self.state = self.led | joints, MotionState.INTERVENTION
        for group in self._groups:
            group.is_led = bool(self.led[group.joints].all())
        begin_ns = self.first_free_ns(now_ns) - self._period_ns
        return stop(self.plan, begin_ns, self.limits, self._brake_groups, self.settings.hold_duration)[0]

    def lead(self, actions: Array, now_ns: int) -> Plan:
        """Make the next plan, in which the led joints follow ``actions`` (T, A) from the first free knot on.

        Raises:
            PlanRejected: the actions are not finite, or the plan would break a rule.
        """
        if not np.isfinite(actions[:, self.led]).all():
            raise PlanRejected("what leads the arms is not finite (NaN or infinite)")
        first_ns = self.first_free_ns(now_ns)
        for group in self._groups:
            if group.is_led:
                group.lead(Chunk(first_ns, self._period_ns, actions), first_ns - self._period_ns)
        return self._advance(now_ns)

    def hand_back(self, now_ns: int) -> Plan | None:
        """Let the policy drive all joints again, from its newest chunk on.

        Returns:
            The plan to send; None if there is no such chunk, and nothing has changed. In stop_and_go no
            chunk is needed: the arms come to rest first.

        Raises:
            PlanRejected: as ``add_chunk``.
        """
        first_ns, chunk = self.first_free_ns(now_ns), self._newest
        times_ns = np.arange(first_ns - self._period_ns, self.plan.end_ns + self._period_ns, self._period_ns)
        former = Chunk(int(times_ns[0]), self._period_ns, self.plan.sample(times_ns)[0])
        groups = self.coupled_groups()
        for group in groups:
            group.set_velocity_scale(self._velocity_scale)
            group.take_from(former, former.stamp_ns, self.settings.soft_start)
        if self.settings.pacing is Pacing.CONTINUOUS:
            if chunk is None or not all(group.reaches(chunk, first_ns) for group in groups):
                return None
            for group in groups:
                group.add(chunk, first_ns)
        self._end_lead(groups)
        return self._advance(now_ns)

    def continuation(
        self, previous: Chunk, first_ns: int, stamp_ns: int, horizon: int, committed_until_ns: int
    ) -> Continuation | None:
        """The known actions that the next inference should continue, see ``continuation``.

        Args:
            previous: the newest chunk.
            first_ns: time of the new sample's first row [ns]; the rows are the chunk's period apart.
            stamp_ns: of the observation, from which on the sample's rows are executed [ns].
            horizon: rows of the new sample.
            committed_until_ns: the earliest time at which a plan from the new chunk can take over [ns].
        """
        if self.led.any():
            return None  # where the arms are led is not what the former chunk said
        clocks = [(group.joints, group.clock) for group in self._groups]
        # What is meant for a time is sent earlier by the lead, so that much earlier is where the plan has it.
        actions, committed = np.full((horizon, len(self.joints)), np.nan), horizon  # (T, A)
        for lead_ns in np.unique(self._lead_ns):
            times_ns = (first_ns - int(lead_ns), stamp_ns - int(lead_ns))
            sent = replace(previous, stamp_ns=previous.stamp_ns - int(lead_ns))
            known = continuation(sent, self.plan, clocks, *times_ns, horizon, committed_until_ns)
            if known is None:
                return None
            joints = self._lead_ns == lead_ns  # (A,)
            actions[:, joints] = known.actions[:, joints]
            committed = min(committed, known.committed)
        return Continuation(actions, committed)

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
        plan = self._brake(now_ns, measured, stopped_ns)
        if self.led.any():
            self._end_lead(self.coupled_groups())
            for group in self._groups:
                group.set_velocity_scale(self._velocity_scale)
                group.start(plan.positions[-1, group.joints], now_ns)
        for group in self._groups:
            group.ensembler.clear()
        self._active_splicer.plan, self._newest = plan, None
        self.state, self.hold_reason = MotionState.HOLD, reason
        self.holds += 1
        return plan

    def _brake(self, now_ns: int, measured: Array | None, stopped_ns: int | None) -> Plan:
        """The braking plan of a HOLD; its arguments are those of ``hold``."""
        duration = self.settings.hold_duration
        begin_ns = braking_begin(self.plan, now_ns) if stopped_ns is None else now_ns
        position, velocity = self.plan.sample_at(begin_ns if stopped_ns is None else stopped_ns)  # (A,) both
        lost = np.zeros(len(position), dtype=bool)  # (A,)
        if measured is not None:
            measured = nearest_turn(measured, position, self.limits.continuous)
            lost = self._exceeds_tracking_error(measured, position)  # (A,)
            position = np.where(lost, measured, position)  # even outside the limits: a HOLD goes nowhere
        if stopped_ns is not None:  # the stamps of the active plan mean nothing to the controllers now
            return braking_plan(position, np.zeros_like(position), begin_ns, self.limits, duration)
        if lost.any():
            brake = braking_plan(position, np.where(lost, 0.0, velocity), begin_ns, self.limits, duration)
            return with_history(brake, self.plan, lost)
        plan, on_path = stop(self.plan, now_ns, self.limits, self._brake_groups, duration)
        self.clamped_knots += not on_path
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
