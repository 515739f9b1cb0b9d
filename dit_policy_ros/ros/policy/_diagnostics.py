# SPDX-License-Identifier: Apache-2.0
"""The policy node's entries on /diagnostics: one per part, with figures, thresholds and remedies.

ERROR: the robot does not work until somebody acts. WARN: worth a look, or ends by itself. OK: everything
else, also an inactive node.
"""

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticStatus

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.motion import FROZEN_INTERVALS
from dit_policy_ros.core.policy_interface import Familiarity, TaskReaction
from dit_policy_ros.core.problems import did_you_mean
from dit_policy_ros.core.sensing import ObservationBuilder, StreamBuffer, stale_reason
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import Health

LOW_RATE = 0.9  # warn below this fraction of the contract's rate
LONG_GAP = 0.8  # warn if the time from plan to plan is above this fraction of plan_horizon
LATE_TICK = 2.0  # warn if the p99 of the control interval is above this many periods
MANY_DISAGREEMENTS = 0.5  # warn above this number of disagreements per plan

_INACTIVE = (PolicyStatus.UNCONFIGURED, PolicyStatus.INACTIVE)


class StreamHealth:
    """Judges each stream by its age and by how its counters changed since the last report."""

    def __init__(self, contract: Contract, observations: ObservationBuilder) -> None:
        self._contract, self._observations = contract, observations
        self._last_counters = {stream.name: stream.counters for stream in observations.streams}
        self._last_report_ns: int | None = None

    def report(self, prefix: str, now_ns: int, steady_ns: int) -> list[DiagnosticStatus]:
        """One entry per stream.

        Args:
            prefix: the node's name.
            now_ns: present time of the node's clock [ns].
            steady_ns: present time of a clock that never jumps [ns].
        """
        elapsed = 0.0 if self._last_report_ns is None else (steady_ns - self._last_report_ns) * 1e-9  # [s]
        self._last_report_ns = steady_ns
        return [self._entry(prefix, stream, now_ns, elapsed) for stream in self._observations.streams]

    def _entry(self, prefix: str, stream: StreamBuffer, now_ns: int, elapsed: float) -> DiagnosticStatus:
        health = Health(f"{prefix}: stream {stream.name}", self._contract.robot_type)
        before, now = self._last_counters[stream.name], stream.counters
        self._last_counters[stream.name] = now
        stale = stale_reason(stream, now_ns)
        newest = stream.newest_stamp_ns
        health.figure("topic", stream.topic)
        if newest is not None:
            health.figure("age", (now_ns - newest) * 1e-9, "s", f"error above {stream.max_age:g}")
        if elapsed > 0.0:
            # Refused messages count as well: they did arrive, and the rate shows how well DDS delivers.
            arrived = sum(
                getattr(now, kind) - getattr(before, kind)
                for kind in ("accepted", "duplicates", "future", "late", "refused")
            )
            expected = self._expected_rate(stream.name)  # [Hz]
            rate, lowest = arrived / elapsed, LOW_RATE * expected
            health.figure("rate", rate, "Hz", f"warn below {lowest:.3g}")
            camera = stream.name in self._observations.images
            remedy = (
                "; if its driver sends more, DDS loses the rest: start the driver with the Fast DDS profile "
                "config/fastdds.xml"
            )
            health.warn_if(
                not stale and rate < lowest,
                f"{rate:.1f} messages per second, expected {expected:g}{remedy if camera else ''}",
            )
        for kind, remedy in (
            ("future", "synchronise the clocks of the computers"),
            ("duplicates", "the driver repeats stamps"),
            ("late", "find what delays them"),
            ("refused", stream.refusal),
            ("clock_resets", "the clock of this computer was set back"),
        ):
            health.figure(kind, getattr(now, kind))
            increase = getattr(now, kind) - getattr(before, kind)
            health.warn_if(increase > 0, f"{increase} messages refused in the last second ({kind}): {remedy}")
        health.figure("out_of_order", now.out_of_order)
        health.error_if(stale is not None, stale or "")
        return health.status("live")

    def _expected_rate(self, stream: str) -> float:
        """How many messages of a stream come per second [Hz]: the contract's rate, or the stream's own."""
        contract = self._contract
        if stream in self._observations.images:
            return contract.image_rate(contract.camera(stream))
        slow = contract.joint_states_fps if stream == self._observations.joints.name else 0.0
        return min(slow or contract.fps, contract.fps)


class PolicyHealth:
    """Judges the node by its status, and by how the counters changed since the last report."""

    def __init__(
        self, hardware: str, settings: dict[str, float], dt: float, known_tasks: Sequence[str]
    ) -> None:
        """Prepare.

        Args:
            hardware: type of the robot.
            settings: has the parameters control_rate, plan_horizon, replan_interval and idle_time.
            dt: spacing of the knots [s].
            known_tasks: instructions that the checkpoint was trained on.
        """
        self._hardware, self._settings = hardware, settings
        self._dt, self._known_tasks = dt, tuple(known_tasks)
        self._last_status = PolicyStatus()

    def report(
        self,
        prefix: str,
        status: PolicyStatus,
        reaction: TaskReaction,
        limited_most: str = "",
        overdue_chunk: str = "",
        unseen_state: str = "",
        familiarity: Familiarity | None = None,
    ) -> list[DiagnosticStatus]:
        """The entry motion; while the node is active also inference, control and task.

        Args:
            prefix: the node's name.
            status: its present status.
            reaction: how the policy reacted to the last change of the task.
            limited_most: the joints and limits that changed most knots, in words.
            overdue_chunk: since when the policy has given no usable chunk, in words; empty if it answers.
            unseen_state: the joints outside the range of the training data, in words; empty if none is.
            familiarity: of the instruction; None if it is not known.
        """
        entries = [self._motion(prefix, status, limited_most)]
        if status.state not in _INACTIVE:
            entries += [
                self._inference(prefix, status, overdue_chunk, unseen_state),
                self._control(prefix, status),
            ]
            entries += [self._task(prefix, status, reaction, familiarity)]
        self._last_status = status
        return entries

    def _motion(self, prefix: str, status: PolicyStatus, limited_most: str) -> DiagnosticStatus:
        health = Health(f"{prefix}: motion", self._hardware)
        health.figure("state", status.state_name)
        health.figure("e_stop", status.e_stop)
        health.figure("dry_run", status.dry_run)
        health.figure("plans", status.plans)
        health.figure("holds", status.holds)
        health.figure("last_incident", status.last_incident)
        if status.dry_run:
            health.figure("shadow_error", status.shadow_error, "rad")
        plans = self._increase(status, "plans")
        limited = self._increase(status, "limited_knots")
        disagreed = self._increase(status, "disagreements")
        health.figure("limited_knots", status.limited_knots, limit=f"{limited} in the last second")
        clamped = self._increase(status, "clamped_knots")
        health.figure("clamped_knots", status.clamped_knots, limit=f"{clamped} in the last second")
        health.figure("limited_most", limited_most)
        health.figure("disagreements", status.disagreements, limit=f"{disagreed} in the last second")
        health.warn_if(
            disagreed > MANY_DISAGREEMENTS * max(plans, 1),
            f"chunks disagreed {disagreed} times in {plans} plans: the policy is undecided. Try "
            "ensemble.mode newest, or more num_inference_steps",
        )
        if status.state == PolicyStatus.HOLD:
            recoverable = status.hold_recoverable and not status.e_stop
            health.warn_if(recoverable, f"HOLD, resumes by itself: {status.hold_reason}")
            health.error_if(not recoverable, f"HOLD, needs ~/resume: {status.hold_reason}")
        return health.status("shadow mode: nothing moves" if status.dry_run else status.state_name)

    def _inference(
        self, prefix: str, status: PolicyStatus, overdue_chunk: str, unseen_state: str
    ) -> DiagnosticStatus:
        health = Health(f"{prefix}: inference", self._hardware)
        horizon, latency = self._settings["plan_horizon"], status.inference_latency_p95
        gap = max(self._settings["replan_interval"], latency) + latency + FROZEN_INTERVALS * self._dt
        health.figure("device", status.device)
        health.figure("latency_p50", status.inference_latency_p50, "s")
        health.figure("latency_p95", latency, "s")
        health.figure("plan_to_plan", gap, "s", f"warn above {LONG_GAP * horizon:.3g}")
        health.figure("chunk_rate", status.chunk_rate, "Hz")
        health.figure("chunk_age", status.chunk_age, "s")
        health.figure("live_chunks", status.live_chunks)
        expired = self._increase(status, "expired_chunks")
        health.error_if(bool(overdue_chunk), overdue_chunk)
        health.figure("unseen_state", unseen_state)
        health.warn_if(
            bool(unseen_state),
            f"{unseen_state}: the policy sees the nearest state that it knows. Bring the robot nearer to the "
            "poses of the demonstrations, or record more",
        )
        health.figure("expired_chunks", status.expired_chunks, limit=f"{expired} in the last second")
        health.warn_if(
            gap > LONG_GAP * horizon,
            f"the next plan can take {gap:.2f} s (p95) to arrive, and plan_horizon is {horizon:g} s: the "
            "arms are close to a HOLD because no plan arrives (starved). Use fewer num_inference_steps, a "
            "faster device, or a shorter replan_interval",
        )
        health.warn_if(expired > 0, f"{expired} chunks arrived too late to be used in the last second")
        return health.status("nothing to infer" if status.state == PolicyStatus.HOLD else "keeps up")

    def _control(self, prefix: str, status: PolicyStatus) -> DiagnosticStatus:
        health = Health(f"{prefix}: control", self._hardware)
        slowest = LATE_TICK / self._settings["control_rate"]
        missed = self._increase(status, "missed_ticks")
        health.figure("rate", status.control_rate, "Hz")
        health.figure("interval_p99", status.control_interval_p99, "s", f"warn above {slowest:.3g}")
        health.figure("missed_ticks", status.missed_ticks, limit=f"{missed} in the last second")
        health.warn_if(
            status.control_interval_p99 > slowest or missed > 0,
            f"the control timer is late (p99 {status.control_interval_p99 * 1e3:.0f} ms, {missed} ticks "
            "missed in the last second): this computer is too busy. Lower num_threads, or run fewer other "
            "programs on it",
        )
        return health.status("on time")

    def _task(
        self,
        prefix: str,
        status: PolicyStatus,
        reaction: TaskReaction,
        familiarity: Familiarity | None,
    ) -> DiagnosticStatus:
        health = Health(f"{prefix}: task", self._hardware)
        longest = self._settings["idle_time"]
        health.figure("task", status.task)
        health.figure("known_task", status.known_task)
        health.figure("familiarity", "not known" if familiarity is None else familiarity.describe())
        health.figure("idle", status.idle, "s", f"warn from {longest:g}")
        health.figure("reaction_to_change", reaction.reaction, "rad", f"warn up to {reaction.baseline:.3g}")
        hint = did_you_mean(status.task, self._known_tasks)
        health.warn_if(
            not status.known_task,
            f"the checkpoint was not trained on {status.task!r}.{hint} The robot may do anything within its "
            "limits",
        )
        health.warn_if(
            status.idle >= longest,
            f"no motion has been commanded for {status.idle:.0f} s: either the task is done, or the policy's "
            "output has collapsed (see `dit_policy diagnose`)",
        )
        health.warn_if(
            reaction.is_ignored,
            f"the new task changed the motion by only {reaction.reaction:.2g} rad, no more than one chunk "
            "differs from the next: the policy may still do the previous task (see `dit_policy diagnose`)",
        )
        return health.status(status.task)

    def _increase(self, status: PolicyStatus, counter: str) -> int:
        return max(0, getattr(status, counter) - getattr(self._last_status, counter))
