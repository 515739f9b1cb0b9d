# SPDX-License-Identifier: Apache-2.0
"""What is streamed to controllers of poses: the plan, and no step and no excess of speed where plans differ.

Plans agree where they overlap. One that is sent late, by a busy computer, begins elsewhere than what was
streamed; so does one that is made after the clock was set. A controller of poses follows a step at once. So
the stream goes on from where it is and joins the plan, within the limits of velocity and acceleration.
"""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import NANOSECONDS, Limits
from dit_policy_ros.core.motion import Plan

Array = NDArray[np.float64]

_STEP_NS = 5_000_000  # of the way to a plan
_MOST_STEPS = 200  # at once; a longer pause is covered in longer steps
_CORRECTION = 0.2  # of the distance to the plan that is corrected per step
_EASY = 0.5  # share of the acceleration that closes the distance; the rest is for the plan itself
_JOINED, _JOINED_SPEED = 1e-6, 1e-3  # [m or rad, m/s or rad/s] from the plan: there is nothing to close
_JUMP_NS = 50_000_000  # two clocks that differ by more in how much time has passed: one of them was set


class SmoothTargets:
    """The targets of all joints and coordinates. Not thread-safe."""

    def __init__(self, limits: Limits, is_simulated: bool) -> None:
        """Begin with nothing to stream.

        Args:
            limits: of the contract, (A,) each.
            is_simulated: whether the clock is simulated time, which may run at any rate.
        """
        self._limits, self._is_simulated = limits, is_simulated
        self._plan: Plan | None = None
        self._position = self._velocity = np.zeros(0)  # (A,) of the newest target
        self._time_ns = self._steady_ns = 0  # of the newest target
        self._has_joined = True  # whether the targets are the plan's

    @property
    def has_joined(self) -> bool:
        """Whether the targets are those of the plan."""
        return self._has_joined

    def follow(self, plan: Plan, now_ns: int, steady_ns: int) -> None:
        """Follow a plan from now on. The first one begins where it stands at its beginning."""
        if self._plan is None:
            self._position, self._velocity = plan.positions[0], plan.velocities[0]
            self._time_ns, self._steady_ns = now_ns, steady_ns
        else:
            self.at(now_ns, steady_ns)
        self._plan = plan
        self._has_joined = self._is_on(plan, self._time_ns)

    def forget(self) -> None:
        """Motion begins anew: the arm is where the next plan begins, and not where the last target was."""
        self._plan = None

    def at(self, now_ns: int, steady_ns: int) -> Array:
        """The target (A,) of the present time, by the plans' clock and by a steady one [ns].

        Raises:
            ValueError: there is no plan.
        """
        if self._plan is None:
            raise ValueError("there is no plan to follow")
        passed_ns = now_ns - self._time_ns
        elapsed_ns, steadily_ns = passed_ns, steady_ns - self._steady_ns
        if passed_ns < 0 or (not self._is_simulated and passed_ns > steadily_ns + _JUMP_NS):
            # The clock was set: the plan is elsewhere now, and the arm is not.
            self._has_joined, elapsed_ns = False, max(min(passed_ns, steadily_ns), 0)
        if self._has_joined:
            self._position, self._velocity = self._plan.sample_at(now_ns)
        elif elapsed_ns:
            self._approach(self._plan, now_ns, elapsed_ns)
            self._has_joined = self._is_on(self._plan, now_ns)
        self._time_ns, self._steady_ns = now_ns, steady_ns
        return self._position

    def _is_on(self, plan: Plan, time_ns: int) -> bool:
        position, velocity = plan.sample_at(time_ns)  # (A,) both
        near = np.abs(position - self._position) <= _JOINED  # (A,)
        return bool((near & (np.abs(velocity - self._velocity) <= _JOINED_SPEED)).all())

    def _approach(self, plan: Plan, now_ns: int, elapsed_ns: int) -> None:
        """Move on by some time [ns], towards the plan, and be as fast as it there."""
        steps = min(max(round(elapsed_ns / _STEP_NS), 1), _MOST_STEPS)
        dt = elapsed_ns / steps / NANOSECONDS  # [s]
        times_ns = now_ns - elapsed_ns + np.arange(1, steps + 1) * elapsed_ns // steps  # (N,)
        places, speeds = plan.sample(times_ns)  # (N, A) both
        fastest, change = self._limits.velocity, self._limits.acceleration * dt  # (A,) both
        strength = _EASY * self._limits.acceleration  # (A,)
        position, velocity = self._position, self._velocity  # (A,) both
        for place, speed in zip(places, speeds, strict=True):
            distance = place - position - (velocity + speed) * (dt / 2.0)  # (A,) without a correction
            closing = np.minimum(_CORRECTION * np.abs(distance) / dt, np.sqrt(strength * np.abs(distance)))
            wanted = np.clip(speed + np.copysign(closing, distance), -fastest, fastest)  # (A,)
            faster = np.clip(wanted, velocity - change, velocity + change)  # (A,)
            position, velocity = position + (velocity + faster) * (dt / 2.0), faster
        self._position, self._velocity = position, velocity
