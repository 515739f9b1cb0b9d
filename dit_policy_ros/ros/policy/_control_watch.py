# SPDX-License-Identifier: Apache-2.0
"""What the control timer does: look whether everything that motion depends on is still there."""

from collections.abc import Callable

from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.core.statistics import RecentRate, RecentValues
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.policy._motion_gate import MotionGate

STANDSTILL = 1.0  # [s] so long may simulated time stand still before the arms' standing is called a hold


class ControlWatch:
    """Holds when a stream is stale, a controller is gone or the policy starves the arms; resumes afterwards.

    Only these causes are recoverable: they are about data that comes back. Whatever questions the policy or
    the operator's wish (a chunk that is not finite, an exception, an e-stop) needs ``~/resume``.
    """

    def __init__(
        self,
        motion: MotionGate,
        streams: ObservationBuilder,
        stream_trouble: Callable[[int], dict[str, str]],
        outputs: ControllerInterface,
        now_ns: Callable[[], int],
        steady_ns: Callable[[], int],
        period: float,
        recovery_time: Callable[[], float],
    ) -> None:
        """Prepare to be ticked.

        Args:
            stream_trouble: what is wrong with the streams at a time [ns], by their names.
            outputs: the controllers.
            now_ns: the node's clock [ns].
            steady_ns: a clock that never jumps, for the timer's own figures [ns].
            period: wanted spacing of the ticks [s].
            recovery_time: so long must everything be well before motion resumes [s].
        """
        self.intervals = RecentValues(500)  # [s]
        self.rate = RecentRate()
        self.missed_ticks = 0
        self._motion, self._streams, self._outputs = motion, streams, outputs
        self._stream_trouble = stream_trouble
        self._now_ns, self._steady_ns = now_ns, steady_ns
        self._period, self._recovery = period, recovery_time
        self._previous_ns: int | None = None
        self._well_since_ns: int | None = None

    def tick(self, e_stop: bool) -> None:
        """Look once."""
        self._measure_itself()
        still = self._motion.check_clock()
        trouble = self.trouble()
        if still > STANDSTILL:
            trouble = (
                f"the clock has stood still for {still:.1f} s: is the simulation paused, or /clock missing?"
            )
        if self._motion.state is not MotionState.HOLD:
            self._well_since_ns = None
            if trouble:
                self._motion.hold(trouble, recoverable=True)
            elif astray := self._astray():
                self._motion.hold(f"an arm does not follow: {astray} (max_tracking_error)")
            else:
                self._motion.proceed()
            return
        if trouble or e_stop or not self._motion.recoverable:
            self._well_since_ns = None
            if trouble:
                self._motion.still_holding(trouble)
            return
        steady_ns = self._steady_ns()
        self._well_since_ns = steady_ns if self._well_since_ns is None else self._well_since_ns
        if steady_ns - self._well_since_ns >= self._recovery() * 1e9:
            self._motion.resume()

    def trouble(self) -> str:
        """What is missing right now; empty where nothing is."""
        now_ns = self._now_ns()
        stale = self._stream_trouble(now_ns)
        if stale:
            return "stale observation: " + "; ".join(stale.values())
        if trouble := self._outputs.trouble(now_ns):
            return trouble
        if self._motion.pipeline.starved(now_ns + round(self._period * 1e9)):
            return "starved: the plan in force ends and no new chunk has come"
        return ""

    def _astray(self) -> str:
        newest = self._streams.joints.newest()
        if newest is None or self._motion.state is not MotionState.RUNNING:
            return ""
        return self._motion.pipeline.describe_tracking_error(newest.value, newest.stamp_ns)

    def _measure_itself(self) -> None:
        steady_ns = self._steady_ns()
        if self._previous_ns is not None:
            interval = (steady_ns - self._previous_ns) * 1e-9
            self.intervals.add(interval)
            self.missed_ticks += interval > 2.0 * self._period
        self.rate.add(steady_ns)
        self._previous_ns = steady_ns
