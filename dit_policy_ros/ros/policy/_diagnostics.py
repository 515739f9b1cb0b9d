# SPDX-License-Identifier: Apache-2.0
"""What the policy node says on /diagnostics: one entry per part, with figures, thresholds and a remedy.

Levels: ERROR keeps the robot from working until somebody acts, WARN is worth a look or mends itself, OK is
the rest, an inactive node included.
"""

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticStatus

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.motion import FROZEN_INTERVALS
from dit_policy_ros.core.policy_interface import TaskReaction
from dit_policy_ros.core.problems import did_you_mean
from dit_policy_ros.core.sensing import ObservationBuilder, StreamBuffer, stale_reason
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import Health

LOW_RATE = 0.9  # share of the contract's rate below which a stream is slow
NARROW = 0.8  # share of plan_horizon beyond which plans nearly end before the next one comes
LATE_TICKS = 2.0  # control periods
OFTEN = 0.5  # share of the plans of the last second

_INACTIVE = (PolicyStatus.UNCONFIGURED, PolicyStatus.INACTIVE)


class StreamHealth:
    """Watches the streams' counters from one report to the next."""

    def __init__(self, contract: Contract, observations: ObservationBuilder) -> None:
        self._contract, self._observations = contract, observations
        self._before = {stream.name: stream.counters for stream in observations.streams}
        self._before_ns: int | None = None

    def report(self, prefix: str, now_ns: int, steady_ns: int) -> list[DiagnosticStatus]:
        """One entry per stream. now_ns: the node's clock; steady_ns: one that never jumps."""
        elapsed = 0.0 if self._before_ns is None else (steady_ns - self._before_ns) * 1e-9  # [s]
        self._before_ns = steady_ns
        return [self._one(prefix, stream, now_ns, elapsed) for stream in self._observations.streams]

    def _one(self, prefix: str, stream: StreamBuffer, now_ns: int, elapsed: float) -> DiagnosticStatus:
        health = Health(f"{prefix}: stream {stream.name}", self._contract.robot_type)
        before, now = self._before[stream.name], stream.counters
        self._before[stream.name] = now
        stale = stale_reason(stream, now_ns)
        newest = stream.newest_stamp_ns
        health.figure("topic", stream.topic)
        if newest is not None:
            health.figure("age", (now_ns - newest) * 1e-9, "s", f"error above {stream.max_age:g}")
        if elapsed > 0.0:
            # Frames that were refused did come: their number says how well the stream is transported.
            came = sum(
                getattr(now, kind) - getattr(before, kind)
                for kind in ("accepted", "duplicates", "future", "late")
            )
            rate, lowest = came / elapsed, LOW_RATE * self._contract.fps
            health.figure("rate", rate, "Hz", f"warn below {lowest:.3g}")
            camera = stream.name in self._observations.images
            remedy = (
                "; if its driver sends more, they are lost on the way: start the driver with the Fast DDS "
                "profile config/fastdds.xml"
            )
            health.warn_if(
                not stale and rate < lowest,
                f"{rate:.1f} messages a second, expected {self._contract.fps:g}{remedy if camera else ''}",
            )
        for kind, remedy in (
            ("future", "synchronise the clocks of the computers"),
            ("duplicates", "its driver repeats stamps"),
            ("late", "they are held up on the way"),
            ("clock_resets", "our clock was set back"),
        ):
            health.figure(kind, getattr(now, kind))
            grown = getattr(now, kind) - getattr(before, kind)
            health.warn_if(grown > 0, f"{grown} messages refused in the last second ({kind}): {remedy}")
        health.figure("out_of_order", now.out_of_order)
        health.error_if(stale is not None, stale or "")
        return health.status("live")


class PolicyHealth:
    """Judges the node's own status from one report to the next."""

    def __init__(self, hardware: str, settings: dict[str, float], dt: float, known: Sequence[str]) -> None:
        """Prepare.

        Args:
            settings: the parameters control_rate, plan_horizon, replan_interval, idle_time.
            dt: spacing of the knots [s].
            known: instructions that the checkpoint was trained on.
        """
        self._hardware, self._settings, self._dt, self._known = hardware, settings, dt, tuple(known)
        self._before = PolicyStatus()

    def report(
        self, prefix: str, status: PolicyStatus, reaction: TaskReaction, limited: str = ""
    ) -> list[DiagnosticStatus]:
        """The entries motion, inference, control and task; limited: the joints and limits that do most."""
        entries = [self._motion(prefix, status, limited)]
        if status.state not in _INACTIVE:
            entries += [self._inference(prefix, status), self._control(prefix, status)]
            entries += [self._task(prefix, status, reaction)]
        self._before = status
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
        plans = self._grown(status, "plans")
        limited, disagreed = self._grown(status, "limited_knots"), self._grown(status, "disagreements")
        health.figure("limited_knots", status.limited_knots, limit=f"{limited} in the last second")
        health.figure("limited_most", limited_most)
        health.figure("disagreements", status.disagreements, limit=f"{disagreed} in the last second")
        health.warn_if(
            disagreed > OFTEN * max(plans, 1),
            f"chunks disagreed {disagreed} times in {plans} plans: the policy cannot decide. Try "
            "ensemble.mode newest, or more num_inference_steps",
        )
        if status.state == PolicyStatus.HOLD:
            recoverable = status.hold_recoverable and not status.e_stop
            health.warn_if(recoverable, f"HOLD, resumes by itself: {status.hold_reason}")
            health.error_if(not recoverable, f"HOLD, needs ~/resume: {status.hold_reason}")
        return health.status("shadow mode: nothing moves" if status.dry_run else status.state_name)

    def _inference(self, prefix: str, status: PolicyStatus) -> DiagnosticStatus:
        health = Health(f"{prefix}: inference", self._hardware)
        blind, latency = self._settings["plan_horizon"], status.inference_latency_p95
        gap = max(self._settings["replan_interval"], latency) + latency + FROZEN_INTERVALS * self._dt
        health.figure("device", status.device)
        health.figure("latency_p50", status.inference_latency_p50, "s")
        health.figure("latency_p95", latency, "s")
        health.figure("plan_to_plan", gap, "s", f"warn above {NARROW * blind:.3g}")
        health.figure("chunk_rate", status.chunk_rate, "Hz")
        health.figure("chunk_age", status.chunk_age, "s")
        health.figure("live_chunks", status.live_chunks)
        expired = self._grown(status, "expired_chunks")
        health.figure("expired_chunks", status.expired_chunks, limit=f"{expired} in the last second")
        health.warn_if(
            gap > NARROW * blind,
            f"a new plan may take {gap:.2f} s (p95) and plan_horizon is {blind:g} s: holds for starvation "
            "are near. Use fewer num_inference_steps, a faster device, or a shorter replan_interval",
        )
        health.warn_if(expired > 0, f"{expired} chunks came too late to be used in the last second")
        return health.status("keeps up")

    def _control(self, prefix: str, status: PolicyStatus) -> DiagnosticStatus:
        health = Health(f"{prefix}: control", self._hardware)
        slowest = LATE_TICKS / self._settings["control_rate"]
        missed = self._grown(status, "missed_ticks")
        health.figure("rate", status.control_rate, "Hz")
        health.figure("interval_p99", status.control_interval_p99, "s", f"warn above {slowest:.3g}")
        health.figure("missed_ticks", status.missed_ticks, limit=f"{missed} in the last second")
        health.warn_if(
            status.control_interval_p99 > slowest or missed > 0,
            f"the control timer is late (p99 {status.control_interval_p99 * 1e3:.0f} ms, {missed} ticks "
            "missed in the last second): this computer is too busy; lower num_threads or move work away",
        )
        return health.status("on time")

    def _task(self, prefix: str, status: PolicyStatus, reaction: TaskReaction) -> DiagnosticStatus:
        health = Health(f"{prefix}: task", self._hardware)
        longest = self._settings["idle_time"]
        health.figure("task", status.task)
        health.figure("known_task", status.known_task)
        health.figure("idle", status.idle, "s", f"warn from {longest:g}")
        health.figure("reaction_to_change", reaction.reaction, "rad", f"warn up to {reaction.baseline:.3g}")
        near = did_you_mean(status.task, self._known)
        health.warn_if(
            not status.known_task,
            f"the checkpoint was not trained on {status.task!r}.{near} Expect anything",
        )
        health.warn_if(
            status.idle >= longest,
            f"nothing has been commanded to move for {status.idle:.0f} s: the task is done, or the policy's "
            "output has collapsed (see `dit_policy diagnose`)",
        )
        health.warn_if(
            reaction.is_ignored,
            f"the change of the task changed the motion by {reaction.reaction:.2g} rad, no more than the "
            "next chunk does anyway: the policy may be doing the task before (see `dit_policy diagnose`)",
        )
        return health.status(status.task)

    def _grown(self, status: PolicyStatus, counter: str) -> int:
        return max(0, getattr(status, counter) - getattr(self._before, counter))
