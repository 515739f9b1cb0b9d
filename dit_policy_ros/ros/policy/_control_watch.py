# SPDX-License-Identifier: Apache-2.0
"""The work of the control timer: checks everything that motion depends on, holds and resumes."""

from collections.abc import Callable
from dataclasses import dataclass

from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.core.statistics import RecentRate, RecentValues
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.policy._clocks import Clocks
from dit_policy_ros.ros.policy._motion_gate import MotionGate

STANDSTILL = 1.0  # [s] simulated time may stand still this long before the arms hold


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Times of the control timer.

    Attributes:
        period: nominal time between two ticks [s].
        recovery_time: reads how long everything must be fine before motion resumes [s]. It is a function
            because the parameter can change at run time.
    """

    period: float
    recovery_time: Callable[[], float]


class ControlWatch:
    """Holds when a stream is stale, a controller is lost or no chunk comes; resumes afterwards.

    Only these faults are recoverable: the missing data can come back. Faults of the policy or of an arm (a
    chunk with NaN, an exception, a tracking error), another commander and an e-stop need ``~/resume``.
    """

    def __init__(
        self,
        motion: MotionGate,
        observations: ObservationBuilder,
        stream_faults: Callable[[int], dict[str, str]],
        controllers: ControllerInterface,
        clocks: Clocks,
        settings: ControlSettings,
    ) -> None:
        """Prepare; ``tick`` does the work.

        Args:
            motion: is held and resumed.
            observations: has the newest joint states.
            stream_faults: maps a time of the node's clock [ns] to the faults of the streams, by stream name.
            controllers: are checked for faults.
            clocks: the node's clocks.
            settings: times.
        """
        self.intervals = RecentValues(500)  # [s] between ticks
        self.rate = RecentRate()
        self.missed_ticks = 0
        self._motion, self._observations, self._controllers = motion, observations, controllers
        self._stream_faults, self._clocks, self._settings = stream_faults, clocks, settings
        self._last_tick_ns: int | None = None  # steady clock
        self._healthy_since_ns: int | None = None  # steady clock; None while there is a fault

    def tick(self) -> None:
        """Check everything once."""
        self._measure_timing()
        self._motion.check_e_stop()
        standstill = self._motion.check_clock()  # [s]
        fault = self.fault()
        if standstill > STANDSTILL:
            fault = (
                f"the clock stands still: it has not advanced for {standstill:.1f} s. Is the simulation "
                "paused, or /clock missing?"
            )
        is_latched = self._motion.state is MotionState.HOLD and not self._motion.recoverable
        if not is_latched and (intruder := self.other_commander()):
            self._motion.hold(intruder)
        if self._motion.state is not MotionState.HOLD:
            self._healthy_since_ns = None
            if fault:
                self._motion.hold(fault, recoverable=True)
            elif error := self._tracking_error():
                self._motion.hold(
                    f"tracking error: {error}; that is more than max_tracking_error. Look for a collision or "
                    "a controller fault"
                )
            else:
                self._motion.continue_plan()
            return
        if fault or not self._motion.recoverable:
            self._healthy_since_ns = None
            if fault:
                self._motion.update_hold_reason(fault)
            return
        steady_ns = self._clocks.steady_ns()
        self._healthy_since_ns = steady_ns if self._healthy_since_ns is None else self._healthy_since_ns
        is_due = steady_ns - self._healthy_since_ns >= self._settings.recovery_time() * 1e9
        if is_due and self._motion.at_rest and (refusal := self._motion.recover()):
            self._healthy_since_ns = None
            self._motion.update_hold_reason(refusal)

    def fault(self) -> str:
        """The present recoverable fault; empty if there is none."""
        now_ns = self._clocks.now_ns()
        if stream_faults := self._stream_faults(now_ns):
            return "stale observation: " + "; ".join(stream_faults.values())
        if controller_fault := self._controllers.fault(now_ns):
            return controller_fault
        offset = self._observations.joints.clock_offset()
        if clock_fault := self._controllers.clock_fault(offset, self._clocks.is_simulated):
            return clock_fault
        return self._motion.chunk_fault(now_ns + round(self._settings.period * 1e9))

    def other_commander(self) -> str:
        """Who else commands the controllers now; empty if nobody does. That needs an operator."""
        return self._controllers.other_commander(self._clocks.now_ns())

    def _tracking_error(self) -> str:
        """Joints that are too far from their command; empty if none is."""
        newest = self._observations.joints.newest()
        if newest is None or self._motion.state is not MotionState.RUNNING:
            return ""
        return self._motion.pipeline.describe_tracking_error(newest.value, newest.stamp_ns)

    def _measure_timing(self) -> None:
        steady_ns = self._clocks.steady_ns()
        if self._last_tick_ns is not None:
            interval = (steady_ns - self._last_tick_ns) * 1e-9
            self.intervals.add(interval)
            self.missed_ticks += interval > 2.0 * self._settings.period
        self.rate.add(steady_ns)
        self._last_tick_ns = steady_ns
