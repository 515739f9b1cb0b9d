# SPDX-License-Identifier: Apache-2.0
"""The only path to the controllers: every message that moves the robot is published here, under one lock.

The lock guarantees that nothing follows a HOLD. Inference runs in another thread and may still be making a
chunk when the node holds. Therefore each chunk comes with the epoch in which its inference began, a hold
changes the epoch, and a chunk of an earlier epoch is dropped.

The lock is the e-stop's. Everything that could move the arms reads the latch under it, so a latched e-stop
always means that the arms brake or stand.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DitPolicyError, PlanRejected
from dit_policy_ros.core.motion import (
    Chunk,
    MotionState,
    Pipeline,
    Plan,
    joints_outside_limits,
)
from dit_policy_ros.core.sensing import ClockJumpDetector, Jump
from dit_policy_ros.core.takeover import Takeover
from dit_policy_ros.ros.controllers import ControllerInterface, Holding
from dit_policy_ros.ros.policy._clocks import Clocks
from dit_policy_ros.ros.policy._inputs import LATCHED, ChunkWatch, MotionHooks, Pose


class MotionGate:
    """Owns the motion pipeline and sends its plans to the controllers. Thread-safe."""

    def __init__(
        self,
        pipeline: Pipeline,
        contract: Contract,
        controllers: ControllerInterface,
        clocks: Clocks,
        hooks: MotionHooks,
        takeover: Takeover | None = None,
    ) -> None:
        """Prepare; nothing is published before ``start``.

        Args:
            pipeline: turns chunks into plans.
            contract: the joints of each controller.
            controllers: receive the plans.
            clocks: the node's clocks.
            hooks: what motion needs from the node.
            takeover: who may drive instead of the policy; None: only the way to the rest pose.
        """
        self.pipeline = pipeline
        self.takeover = takeover or Takeover(pipeline, contract)
        self.recoverable = False  # whether the present HOLD ends by itself once the fault is gone
        self._contract, self._controllers, self._clocks = contract, controllers, clocks
        self._measured_pose, self._logger = hooks.measured_pose, hooks.logger
        self._e_stop, self._chunks = hooks.e_stop, ChunkWatch(pipeline, clocks, hooks.chunk_timeout)
        self._clock_jumps = ClockJumpDetector(clocks.is_simulated)
        self._first_reason = ""  # of the present HOLD
        self._lock = hooks.e_stop.lock
        self._epoch, self._is_open = 0, False
        self._holding = Holding(pipeline, contract, controllers, hooks.logger)
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
        return self.state is not MotionState.HOLD or self._chunks.missed

    @property
    def at_rest(self) -> bool:
        """Whether the active plan is at rest now."""
        return self._is_at_rest(self._clocks.now_ns())

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
            self._chunks.restart()
            self._controllers.start(self.pipeline.plan, self._clocks.now_ns())
            self._holding.end()
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
                self._chunks.add_late_chunk()
            else:
                self._chunks.restart()
            if not self._may_move() or epoch != self._epoch:
                return None
            # A plan for a controller that does something else would make it jump. The next tick holds.
            now_ns = self._clocks.now_ns()
            if self._controllers.fault(now_ns) or self._controllers.other_commander(now_ns):
                return None
            return self._send(self.pipeline.add_chunk, chunk, self._clocks.now_ns())

    def continue_plan(self) -> None:
        """Publish what the current plan needs now: its next stretch (stop_and_go, lead) and gripper goals."""
        with self._lock:
            if not self._may_move() or self.state is MotionState.WAITING:
                return
            now_ns = self._clocks.now_ns()
            if self.takeover.is_wanted(now_ns) and not self.take_over():
                self._logger.info("a person takes over by moving the leader")
            if self.state is MotionState.RUNNING:
                self._send(self.pipeline.extend, now_ns)
            elif self.state is MotionState.INTERVENTION:
                self._follow(now_ns)
            if self.state is not MotionState.HOLD:
                self._controllers.command_grippers(self.pipeline.plan, now_ns)

    def take_over(self, controllers: Sequence[str] = ()) -> str:
        """Let a person drive controllers' joints, by default all of the leader's; returns why not, or ""."""
        with self._lock:
            if isinstance(led := self.takeover.led_by(controllers, self._clocks.now_ns()), str):
                return led
            return self._leave_hold() or self._led(self.takeover.begin, led)

    def home(self, velocity_scale: float = 1.0) -> str:
        """Move slowly to the contract's rest pose; returns why that is refused, empty if it is not."""
        with self._lock:
            refusal = self.takeover.no_home or self._leave_hold()
            return refusal or self._led(self.takeover.home, velocity_scale)

    def hand_back(self) -> str:
        """Let the policy drive all joints again; returns why that is refused, empty if it is not."""
        with self._lock:
            if self.state is not MotionState.INTERVENTION:
                return "nobody has taken over"
            if self._e_stop.latched:
                return LATCHED
            plan = self._send(self.pipeline.hand_back, self._clocks.now_ns())
            if self.state is MotionState.HOLD:
                return self.pipeline.hold_reason
            if plan is None:
                return "the policy has no chunk that could be used now: try again"
            self.takeover.end()
            self._chunks.restart()
            return ""

    def accepts_observation(self, since_ns: int) -> bool:
        """Whether inference may use an observation whose history begins at ``since_ns`` (see Pacing)."""
        with self._lock:
            return self.pipeline.accepts_observation(since_ns)

    def earliest_observation(self, history_ns: int) -> int:
        """The earliest stamp of an observation that inference may use [ns]; 0 if there is no such limit.

        Args:
            history_ns: how far an observation reaches back [ns].
        """
        with self._lock:
            return 0 if self.pipeline.accepts_observation(0) else self.pipeline.plan.end_ns + history_ns

    def locked(self) -> AbstractContextManager[Any]:
        """Nothing of the motion changes within."""
        return self._lock

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
            self._log_hold(reason, self.recoverable)

    def update_hold_reason(self, fault: str) -> None:
        """Add the present fault to the reason of the HOLD: a dead stream may first show as starvation."""
        with self._lock:
            self._holding.missed |= self._controllers.unreachable().keys()
            if self.recoverable and self.state is MotionState.HOLD:
                same = fault.partition(":")[0] == self._first_reason.partition(":")[0]
                self.pipeline.hold_reason = fault if same else f"{self._first_reason}; now {fault}"

    def repeat_hold(self) -> None:
        """During a HOLD: send it again to a controller that has not got it."""
        with self._lock:
            if self._is_open and self.state is MotionState.HOLD:
                self._holding.repeat(self._clocks.now_ns())

    def check_clock(self) -> float:
        """Hold if the node's clock was set since the last call; return how long it has stood still [s]."""
        with self._lock:
            jump = self._detect_clock_jump(int(self.pipeline.plan.times_ns[0]) if self._is_open else None)
            if jump is not None:
                # Clock set back: the controllers stopped at the point of the plan that they had reached.
                # Clock set ahead: they jumped to where the plan is now.
                stopped_ns = jump.expected_ns if jump.by_ns < 0 else None
                if self._hold(str(jump), recoverable=True, stopped_ns=stopped_ns):
                    self._log_hold(str(jump), self.recoverable)
                else:  # the stamps of an earlier hold are wrong now
                    self._holding.clock_was_set()
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
            return self._chunks.fault(until_ns) if self._is_open else ""

    def overdue_chunk(self) -> str:
        """Since when the policy has given no usable chunk; empty if none is overdue."""
        with self._lock:
            return self._chunks.overdue() if self._is_open else ""  # inactive: there may be no plan yet

    def set_busy(self, seconds: float) -> None:
        """Note how long the present inference has been running [s]; 0: none runs."""
        self._chunks.set_busy(seconds)

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
            missed_hold = self._holding.missed_joints  # (A,)
            now_ns, pose = self._clocks.now_ns(), self._measured_pose()
            if pose is not None:
                # Also where motion starts from the command: an arm that was pushed outside would swing back.
                tolerance = np.broadcast_to(self.pipeline.settings.pose_tolerance, pose.shape)  # (A,)
                beyond = joints_outside_limits(pose, self.pipeline.limits, tolerance, self.pipeline.joints)
                if outside := "; ".join(beyond) or self._contract.outside_workspace(pose[None], tolerance):
                    return outside
                # Where a controller says what it commands, motion starts there: its command must not step.
                pose, commanded = self._controllers.reference_pose(
                    pose, self.pipeline.settings.max_tracking_error
                )
                missed_hold |= commanded
            try:
                if not (self._is_at_rest(now_ns) and self.pipeline.resume(now_ns, pose, missed_hold)):
                    return "the arms are still braking: try again"
            except PlanRejected as error:
                return str(error)
            self._holding.end()
            self._epoch += 1
            self._chunks.restart()
            return ""

    def change_task(self) -> None:
        """Drop the chunks of the previous task, and those under way."""
        with self._lock:
            self._epoch += 1
            self.pipeline.change_task()

    def _is_at_rest(self, now_ns: int) -> bool:
        """Whether the active plan, and in a HOLD what was sent of it, is at rest. The lock is held."""
        return self.pipeline.at_rest(now_ns) and self._holding.at_rest(now_ns)

    def _leave_hold(self) -> str:
        """Resume if the arms hold; returns why nobody may drive, empty if somebody may. The lock is held."""
        if not self._is_open:
            return "the policy node is not active"
        if self._e_stop.latched:
            return LATCHED
        return self.resume() if self.state is MotionState.HOLD else ""

    def _led(self, begin: Callable[..., None], *arguments: Any) -> str:
        """Let somebody lead; returns why the arms hold instead, empty if they do not. The lock is held."""
        begin(*arguments, now_ns := self._clocks.now_ns())
        self._follow(now_ns)
        return self.pipeline.hold_reason if self.state is MotionState.HOLD else ""

    def _follow(self, now_ns: int) -> None:
        """Publish the next plan of who leads; hold if that cannot be relied on. The lock is held."""
        lead = self.takeover.lead
        if lead is None or (fault := lead.fault(now_ns)):
            self.hold(fault if lead is not None else "nobody leads the arms")
        elif (actions := self.takeover.actions(now_ns)) is not None:
            self._send(self.pipeline.lead, actions, now_ns)

    def _may_move(self) -> bool:
        """Whether a plan may be sent; brakes if the e-stop is latched. The lock is held."""
        if self._e_stop.latched:
            self.hold("e-stop")
        return self._is_open and not self._e_stop.latched

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
        return self._clock_jumps.update(*self._clocks.both_ns(), begin_ns)

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
            # The policy must not go on by itself where somebody else drove.
            recoverable = recoverable and self.state is not MotionState.INTERVENTION
            plan = self.pipeline.hold(reason, now_ns, self._measured_pose(), stopped_ns)
            if plan is None:
                if self.recoverable and not recoverable:
                    self.recoverable, self.pipeline.hold_reason = False, reason
                    return True
                return False
            self.recoverable, self._first_reason = recoverable, reason
            self.takeover.end()
            self._holding.send(plan, now_ns, clock_was_set=stopped_ns is not None)
            return True

    def _log_hold(self, reason: str, recoverable: bool) -> None:
        way_out = "resumes by itself" if recoverable else "remove the cause, then call ~/resume"
        self._logger.error(f"HOLD: {reason} ({way_out})")
