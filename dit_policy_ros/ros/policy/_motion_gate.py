# SPDX-License-Identifier: Apache-2.0
"""The only path to the controllers: every message that moves the robot is published here, under one lock.

The lock guarantees that nothing follows a HOLD. Inference runs in another thread and may still be making a
chunk when the node holds. Therefore each chunk comes with the epoch in which its inference began, a hold
changes the epoch, and a chunk of an earlier epoch is dropped.

The lock is the e-stop's. Everything that could move the arms reads the latch under it, so a latched e-stop
always means that the arms brake or stand.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DitPolicyError, PlanRejected
from dit_policy_ros.core.motion import (
    Chunk,
    ChunkDeadline,
    EStop,
    MotionState,
    Pipeline,
    Plan,
    check_plan,
    joints_outside_limits,
)
from dit_policy_ros.core.sensing import ClockJumpDetector, Jump
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.policy._clocks import Clocks

Pose = NDArray[np.float64]

LATCHED = "the e-stop is latched: call ~/e_stop with data: false first"


@dataclass(frozen=True, slots=True)
class MotionHooks:
    """What motion needs from the node.

    Attributes:
        e_stop: its latch, and the lock of all motion.
        measured_pose: returns the measured pose (A,) [rad or m], or None if it is missing or stale.
        chunk_timeout: without a usable chunk for this long the arms hold [s].
        logger: gets the reasons of holds.
    """

    e_stop: EStop
    measured_pose: Callable[[], Pose | None]
    chunk_timeout: float
    logger: RcutilsLogger


class MotionGate:
    """Owns the motion pipeline and sends its plans to the controllers. Thread-safe."""

    def __init__(
        self,
        pipeline: Pipeline,
        contract: Contract,
        controllers: ControllerInterface,
        clocks: Clocks,
        hooks: MotionHooks,
    ) -> None:
        """Prepare; nothing is published before ``start``.

        Args:
            pipeline: turns chunks into plans.
            contract: the joints of each controller.
            controllers: receive the plans.
            clocks: the node's clocks.
            hooks: what motion needs from the node.
        """
        self.pipeline = pipeline
        self.recoverable = False  # whether the present HOLD ends by itself once the fault is gone
        self._contract, self._controllers, self._clocks = contract, controllers, clocks
        self._measured_pose, self._logger = hooks.measured_pose, hooks.logger
        self._e_stop, self._deadline = hooks.e_stop, ChunkDeadline(hooks.chunk_timeout)
        self._clock_jumps = ClockJumpDetector(clocks.is_simulated)
        self._first_reason = ""  # of the present HOLD
        self._lock = hooks.e_stop.lock
        self._epoch = 0
        self._is_open = False
        self._missed_hold: set[str] = set()  # controllers that did not get the present hold
        hooks.e_stop.connect(self.check_e_stop)

    @property
    def state(self) -> MotionState:
        """Whether the arms wait for a chunk, follow a plan or hold."""
        return self.pipeline.state

    @property
    def epoch(self) -> int:
        """A number that changes whenever chunks under way must be dropped."""
        return self._epoch

    @property
    def wants_chunks(self) -> bool:
        """Whether to infer: not during a HOLD, unless it ends with the next chunk."""
        return self.state is not MotionState.HOLD or self._deadline.missed

    @property
    def at_rest(self) -> bool:
        """Whether the active plan is at rest now."""
        return self.pipeline.at_rest(self._clocks.now_ns())

    def start(self, pose: Pose) -> None:
        """Begin to accept chunks, from rest at the pose (A,) that the controllers command.

        Raises:
            DitPolicyError: the e-stop is latched, or a joint is too far outside its limits.
        """
        with self._lock:
            if self._e_stop.latched:
                raise DitPolicyError(LATCHED)
            self._detect_clock_jump()  # forget jumps from before
            self.pipeline.reset_counters()
            self.pipeline.start(pose, self._clocks.now_ns())
            self._await_chunk()
            self._controllers.start(self.pipeline.plan, self._clocks.now_ns())
            self._epoch += 1
            self._is_open = True

    def stop(self, reason: str, acknowledge_timeout: float) -> None:
        """Hold, then publish nothing more.

        Args:
            reason: of the hold.
            acknowledge_timeout: how long each controller may take to acknowledge the hold [s].
        """
        with self._lock:
            if self._hold(reason, recoverable=False):
                self._logger.info(f"the arms hold: {reason}")
            self._is_open = False
        for name in self._controllers.unacknowledged(acknowledge_timeout):
            self._logger.error(f"{name} did not acknowledge the hold within {acknowledge_timeout} s")

    def submit_chunk(self, chunk: Chunk, epoch: int) -> Plan | None:
        """Make the next plan from a chunk and publish it.

        Args:
            chunk: the policy's chunk.
            epoch: ``self.epoch`` from when its inference began.

        Returns:
            The published plan; None if the chunk is of an earlier epoch, too late, or was rejected.
        """
        with self._lock:
            self.check_clock()
            if not self._is_open:
                return None
            # A chunk of any epoch shows that the policy answers.
            if self.pipeline.is_too_late(chunk, self._clocks.now_ns()):
                self._deadline.add_late_chunk()
            else:
                self._await_chunk()
            if not self._may_move() or epoch != self._epoch:
                return None
            # A plan for a controller that does something else would make it jump. The next tick holds.
            now_ns = self._clocks.now_ns()
            if self._controllers.fault(now_ns) or self._controllers.other_commander(now_ns):
                return None
            return self._send(self.pipeline.add_chunk, chunk, self._clocks.now_ns())

    def continue_plan(self) -> None:
        """Publish what the current plan needs now: its next stretch (stop_and_go) and gripper goals."""
        with self._lock:
            if self._may_move() and self.state is MotionState.RUNNING:
                now_ns = self._clocks.now_ns()
                self._send(self.pipeline.extend, now_ns)
                self._controllers.command_grippers(self.pipeline.plan, now_ns)

    def accepts_observation(self, since_ns: int) -> bool:
        """Whether inference may use an observation whose history begins at ``since_ns`` (see Pacing)."""
        with self._lock:
            return self.pipeline.accepts_observation(since_ns)

    def set_velocity_scale(self, scale: float) -> None:
        """Limit velocities to this fraction (0 to 1) of their limits, from the next plan on."""
        with self._lock:
            self.pipeline.set_velocity_scale(scale)

    def hold(self, reason: str, recoverable: bool = False) -> None:
        """Brake both arms and stay in HOLD.

        Args:
            reason: for the operator.
            recoverable: whether motion may resume by itself. Once one fault of a HOLD is not recoverable,
                the HOLD is not.
        """
        if self._hold(reason, recoverable):
            self._log_hold(reason, recoverable)

    def update_hold_reason(self, fault: str) -> None:
        """Add the present fault to the reason of the HOLD: a dead stream may first show as starvation."""
        with self._lock:
            self._missed_hold |= self._controllers.unreachable().keys()
            if self.recoverable and self.state is MotionState.HOLD:
                same = fault.partition(":")[0] == self._first_reason.partition(":")[0]
                self.pipeline.hold_reason = fault if same else f"{self._first_reason}; now {fault}"

    def check_clock(self) -> float:
        """Hold if the node's clock was set since the last call; return how long it has stood still [s]."""
        with self._lock:
            jump = self._detect_clock_jump(int(self.pipeline.plan.times_ns[0]) if self._is_open else None)
            if jump is not None:
                # Clock set back: the controllers stopped at the point of the plan that they had reached.
                # Clock set ahead: they jumped to where the plan is now.
                stopped_ns = jump.expected_ns if jump.by_ns < 0 else None
                if self._hold(str(jump), recoverable=True, stopped_ns=stopped_ns):
                    self._log_hold(str(jump), recoverable=True)
                else:  # the stamps of an earlier hold are wrong now
                    self._missed_hold |= {controller.name for controller in self._contract.controllers}
            return self._clock_jumps.stopped_for(self._clocks.steady_ns())

    def check_e_stop(self) -> None:
        """Brake if the e-stop is latched and the arms do not hold because of it yet."""
        with self._lock:
            self._may_move()

    def chunk_fault(self, until_ns: int) -> str:
        """Why the arms must hold for want of a chunk; empty if there is no reason.

        Args:
            until_ns: the active plan should reach that far [ns].
        """
        with self._lock:
            if not self._is_open:
                return ""
            if self.state is not MotionState.HOLD:
                now_ns = self._clocks.now_ns()
                if not self.pipeline.awaits_chunk(now_ns):
                    self._await_chunk()
                elif self.pipeline.starved(until_ns) or self._is_overdue():
                    self._deadline.missed = True
            if overdue := self.overdue_chunk():
                return overdue
            if self._deadline.missed:
                return (
                    "starved: the current plan ends and no new chunk has arrived. Inference is too slow, or "
                    "this computer is too busy"
                )
            return ""

    def overdue_chunk(self) -> str:
        """Since when the policy has given no usable chunk; empty if none is overdue."""
        with self._lock:
            if not self._is_open:
                return ""  # inactive: there may be no plan yet that `_is_overdue` could look at
            steady_ns, is_overdue = self._clocks.steady_ns(), self._is_overdue()
            if not (is_overdue or self._deadline.is_hung(steady_ns)):
                return ""
            return self._deadline.describe(steady_ns, is_overdue)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Wraps an inference, so that one that hangs is noticed."""
        self._deadline.set_busy(self._clocks.steady_ns())
        try:
            yield
        finally:
            self._deadline.set_busy(None)

    def recover(self) -> str:
        """Leave a HOLD that may end by itself; returns why it does not, empty if it does."""
        with self._lock:
            if not self.recoverable:
                return "only ~/resume ends this HOLD"
            return self.resume()

    def resume(self) -> str:
        """Leave the HOLD; returns why that is refused, empty if it is not."""
        with self._lock:
            if not self._is_open:
                return "the policy node is not active"
            if self._e_stop.latched:
                return LATCHED
            missed_hold = np.zeros(self._contract.action_dim, dtype=bool)  # (A,)
            for name in self._missed_hold:
                missed_hold[self._contract.indices(name)] = True
            now_ns, pose = self._clocks.now_ns(), self._measured_pose()
            if pose is not None:
                # Also where motion starts from the command: an arm that was pushed outside would swing back.
                tolerance = np.broadcast_to(self.pipeline.settings.pose_tolerance, pose.shape)  # (A,)
                if outside := joints_outside_limits(
                    pose, self.pipeline.limits, tolerance, self.pipeline.joints
                ):
                    return "; ".join(outside)
                # Where a controller says what it commands, motion starts there: its command must not step.
                pose, commanded = self._controllers.reference_pose(
                    pose, self.pipeline.settings.max_tracking_error
                )
                missed_hold |= commanded
            try:
                if not self.pipeline.resume(now_ns, pose, missed_hold):
                    return "the arms are still braking: try again"
            except PlanRejected as error:
                return str(error)
            self._missed_hold.clear()
            self._epoch += 1
            self._await_chunk()
            return ""

    def change_task(self) -> None:
        """Drop the chunks of the previous task, and those under way."""
        with self._lock:
            self._epoch += 1
            self.pipeline.change_task()

    def _may_move(self) -> bool:
        """Whether a plan may be sent; brakes if the e-stop is latched. The lock is held."""
        if self._e_stop.latched:
            self.hold("e-stop")
        return self._is_open and not self._e_stop.latched

    def _is_overdue(self) -> bool:
        now_ns = self._clocks.now_ns()
        is_awaited = self._deadline.missed or self.pipeline.awaits_chunk(now_ns)
        return is_awaited and self._deadline.is_over(now_ns, self._clocks.steady_ns())

    def _await_chunk(self) -> None:
        self._deadline.restart(self._clocks.now_ns(), self._clocks.steady_ns())

    def _send(self, make_plan: Callable[..., Plan | None], *arguments: Any) -> Plan | None:
        """Make a plan, check its messages and publish them; hold if the plan is rejected."""
        try:
            plan = make_plan(*arguments)
            if plan is not None:
                now_ns = self._clocks.now_ns()
                self._controllers.send(plan, self._controllers.checked_messages(plan, now_ns), now_ns)
        except PlanRejected as error:
            self.hold(f"plan rejected: {error}")
            return None
        return plan

    def _detect_clock_jump(self, begin_ns: int | None = None) -> Jump | None:
        for _ in range(10):  # until both clocks are read without an interruption in between
            before_ns, now_ns = self._clocks.steady_ns(), self._clocks.now_ns()
            after_ns = self._clocks.steady_ns()
            if after_ns - before_ns < 1_000_000:
                break
        return self._clock_jumps.update(now_ns, after_ns, begin_ns)

    def _hold(self, reason: str, recoverable: bool, stopped_ns: int | None = None) -> bool:
        """Publish the braking plan.

        Args:
            reason: for the operator.
            recoverable: whether motion may resume by itself.
            stopped_ns: time of the plan at which the controllers have stopped [ns]; None if they have not.

        Returns:
            Whether there is something to log; not if the gate is closed or already holds.
        """
        with self._lock:
            if not self._is_open:
                return False
            self._epoch += 1
            now_ns = self._clocks.now_ns()
            plan = self.pipeline.hold(reason, now_ns, self._measured_pose(), stopped_ns)
            if plan is None:
                if self.recoverable and not recoverable:
                    self.recoverable, self.pipeline.hold_reason = False, reason
                    return True
                return False
            self.recoverable, self._first_reason = recoverable, reason
            self._missed_hold = set(self._controllers.unreachable())
            plan = self._controllers.standing_if_deviating(plan, now_ns)
            try:
                # A HOLD stays where the arms are, even outside the limits.
                check_plan(plan, self.pipeline.limits, self.pipeline.joints, now_ns, outside=np.inf)
                messages = self._controllers.checked_messages(plan, now_ns)
            except PlanRejected as error:  # an imperfect braking plan is better than none
                self._logger.error(f"the braking plan breaks a rule, and is sent all the same: {error}")
                messages = self._controllers.messages(plan)
            self._controllers.send(plan, messages, now_ns)
            return True

    def _log_hold(self, reason: str, recoverable: bool) -> None:
        way_out = "resumes by itself" if recoverable else "remove the cause, then call ~/resume"
        self._logger.error(f"HOLD: {reason} ({way_out})")
