# SPDX-License-Identifier: Apache-2.0
"""The work of the control timer: checks everything that motion depends on, holds and resumes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.core.sensing import StreamBuffer, stale_reason
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
        velocity_scale: reads the fraction of the velocity limits that is used.
    """

    period: float
    recovery_time: Callable[[], float]
    velocity_scale: Callable[[], float] = lambda: 1.0


def control_settings(settings: Mapping[str, Any]) -> ControlSettings:
    """What the parameters say; those that can change at run time are read when they are needed."""
    return ControlSettings(
        period=1.0 / settings["control_rate"],
        recovery_time=lambda: settings["recovery_time"],
        velocity_scale=lambda: settings["velocity_scale"],
    )


@dataclass(frozen=True, slots=True)
class WatchedInputs:
    """What motion is made from.

    Attributes:
        joints: the joint states.
        fault: maps a time of the node's clock [ns] to what is wrong with the streams or the inference node;
            empty if nothing is.
        refusal: says why a chunk was not used lately; empty if all were.
        lost_watcher: says who has stopped to watch without a word; empty if nobody has.
    """

    joints: StreamBuffer
    fault: Callable[[int], str]
    refusal: Callable[[], str] = lambda: ""
    lost_watcher: Callable[[], str] = lambda: ""


class ControlWatch:
    """Holds when a stream is stale, a controller or inference is lost or no chunk comes; resumes afterwards.

    Only these faults are recoverable: the missing data can come back. Faults of the policy or of an arm (a
    chunk with NaN, an exception, a tracking error), another commander, a watcher who has become silent and an
    e-stop need ``~/resume``.
    """

    def __init__(
        self,
        motion: MotionGate,
        inputs: WatchedInputs,
        controllers: ControllerInterface,
        clocks: Clocks,
        settings: ControlSettings,
    ) -> None:
        """Prepare; ``tick`` does the work.

        Args:
            motion: is held and resumed.
            inputs: are checked for faults.
            controllers: are checked for faults.
            clocks: the node's clocks.
            settings: times.
        """
        self.intervals = RecentValues(500)  # [s] between ticks
        self.rate = RecentRate()
        self.missed_ticks = 0
        self._motion, self._inputs, self._controllers = motion, inputs, controllers
        self._clocks, self._settings = clocks, settings
        self._last_tick_ns: int | None = None  # steady clock
        self._healthy_since_ns: int | None = None  # steady clock; None while there is a fault

    def tick(self) -> None:
        """Check everything once."""
        self._measure_timing()
        with self._motion.locked():  # what is found is of the state that it is judged by
            may_recover = self._check()
        if may_recover and (refusal := self._motion.recover()):  # it looks again: an e-stop may come first
            self._healthy_since_ns = None
            self._motion.update_hold_reason(refusal)

    def _check(self) -> bool:
        """Hold for what is wrong, or go on; returns whether a HOLD may end now. The lock is held."""
        self._motion.check_e_stop()
        standstill = self._motion.check_clock()  # [s]
        self._motion.repeat_hold()
        fault = self.fault()
        if standstill > STANDSTILL:
            fault = (
                f"the clock stands still: it has not advanced for {standstill:.1f} s. Is the simulation "
                "paused, or /clock missing?"
            )
        is_latched = self._motion.state is MotionState.HOLD and not self._motion.recoverable
        if not is_latched and (reason := self._inputs.lost_watcher() or self.other_commander()):
            self._motion.hold(reason)
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
            return False
        if fault or not self._motion.recoverable:
            self._healthy_since_ns = None
            if fault:
                self._motion.update_hold_reason(fault)
            return False
        steady_ns = self._clocks.steady_ns()
        self._healthy_since_ns = steady_ns if self._healthy_since_ns is None else self._healthy_since_ns
        is_due = steady_ns - self._healthy_since_ns >= self._settings.recovery_time() * 1e9
        return is_due and self._motion.at_rest

    def fault(self) -> str:
        """The present recoverable fault; empty if there is none."""
        # Who drives all joints needs no policy.
        if not self._motion.pipeline.led.all() and (fault := self.policy_fault()):
            return fault
        if fault := self.arm_fault():
            return fault
        missing = self._motion.chunk_fault(self._clocks.now_ns() + round(self._settings.period * 1e9))
        refusal = self._inputs.refusal() if missing else ""
        return f"{missing}; the last chunk was refused: {refusal}" if refusal else missing

    def policy_fault(self) -> str:
        """What is wrong with the streams or the inference node now; empty if nothing is."""
        return self._inputs.fault(self._clocks.now_ns())

    def arm_fault(self) -> str:
        """What is wrong with the joint states or the controllers now; empty if nothing is."""
        now_ns = self._clocks.now_ns()
        if stale := stale_reason(self._inputs.joints, now_ns):
            return f"stale observation: {stale}"
        if controller_fault := self._controllers.fault(now_ns):
            return controller_fault
        offset = self._inputs.joints.clock_offset()
        return self._controllers.clock_fault(offset, self._clocks.is_simulated)

    def resume(self) -> str:
        """Leave the HOLD, as an operator asks; returns why that is refused, empty if it is not."""
        with self._motion.locked():
            self._controllers.accept_standing(self._clocks.now_ns())
            return self.fault() or self.other_commander() or self._motion.resume()

    def take_over(self, controllers: Sequence[str] = ()) -> str:
        """Let a person drive; returns why that is refused, empty if it is not. See MotionGate."""
        with self._motion.locked():
            return self._no_end_of_hold() or self._motion.take_over(controllers)

    def home(self) -> str:
        """Move to the rest pose; returns why that is refused, empty if it is not."""
        with self._motion.locked():
            return self._no_end_of_hold() or self._motion.home(self._settings.velocity_scale())

    def hand_back(self) -> str:
        """Let the policy drive all joints again; returns why that is refused, empty if it is not."""
        with self._motion.locked():
            is_led = self._motion.state is MotionState.INTERVENTION
            return (self.policy_fault() if is_led else "") or self._motion.hand_back()

    @property
    def led_joints(self) -> list[str]:
        """The joints that a person drives."""
        return self._motion.takeover.human_joints

    @property
    def led_text(self) -> str:
        """What the person should know or do now; empty while the policy drives."""
        return self._motion.takeover.text

    def _no_end_of_hold(self) -> str:
        """Why nobody may end the present HOLD; empty if somebody may, or if there is none. Under the lock."""
        if self._motion.state is not MotionState.HOLD:
            return ""
        return self.arm_fault() or self.other_commander()

    def other_commander(self) -> str:
        """Who else commands the controllers now; empty if nobody does. That needs an operator."""
        return self._controllers.other_commander(self._clocks.now_ns())

    def _tracking_error(self) -> str:
        """Joints that are too far from their command; empty if none is."""
        newest = self._inputs.joints.newest()
        is_moving = self._motion.state in (MotionState.RUNNING, MotionState.INTERVENTION)
        if newest is None or not is_moving:
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
