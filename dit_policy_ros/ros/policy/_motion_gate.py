# SPDX-License-Identifier: Apache-2.0
"""The only way to the controllers: every message that moves the robot is published here, under one lock.

The lock makes "HOLD, then silence" true: once a hold has been published, a chunk that was in the making
cannot follow it, because whoever inferred it has to show the epoch that it began in, and the epoch has moved.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import Chunk, MotionState, Pipeline, Plan, check_plan
from dit_policy_ros.core.sensing import ClockJumpDetector, Jump
from dit_policy_ros.ros.controllers import ControllerInterface

Pose = NDArray[np.float64]


class MotionGate:
    """Owns the pipeline and the way to the controllers while the node is configured."""

    def __init__(
        self,
        pipeline: Pipeline,
        contract: Contract,
        outputs: ControllerInterface,
        now_ns: Callable[[], int],
        steady_ns: Callable[[], int],
        simulated_time: bool,
        measured: Callable[[], Pose | None],
        logger: RcutilsLogger,
    ) -> None:
        """Prepare; nothing is published before ``begin``.

        Args:
            outputs: the controllers.
            now_ns: the node's clock [ns].
            steady_ns: a clock that never jumps [ns].
            simulated_time: whether the node's clock is a simulation's.
            measured: the fresh measured pose (A,), or None where there is none.
        """
        self.pipeline = pipeline
        self.recoverable = False  # whether the present HOLD may end without an operator
        self._contract, self._outputs = contract, outputs
        self._now_ns, self._steady_ns = now_ns, steady_ns
        self._measured, self._logger = measured, logger
        self._clocks = ClockJumpDetector(simulated_time)
        self._first_reason = ""
        self._lock = threading.RLock()
        self._epoch = 0
        self._open = False
        self._uncommanded: set[str] = set()  # controllers that have not got the hold in force

    @property
    def state(self) -> MotionState:
        """Where the motion stands."""
        return self.pipeline.state

    @property
    def epoch(self) -> int:
        """Changes whenever work that is under way must not reach the robot any more."""
        return self._epoch

    def begin(self, pose: Pose) -> None:
        """Open the way to the controllers, at rest at the measured pose (A,)."""
        with self._lock:
            self._look_at_clocks()  # whatever happened to them before is of no interest
            self.pipeline.reset_counters()
            self.pipeline.start(pose, self._now_ns())
            self._outputs.begin(self.pipeline.plan)
            self._epoch += 1
            self._open = True

    def end(self, reason: str, acknowledged_within: float) -> None:
        """HOLD, close the way, and wait until the controllers have the hold [s at most]."""
        with self._lock:
            if self._hold(reason, recoverable=False):
                self._logger.info(f"the arms hold: {reason}")
            self._open = False
        for name in self._outputs.unacknowledged(acknowledged_within):
            self._logger.error(f"{name} did not acknowledge the hold within {acknowledged_within} s")

    def offer(self, chunk: Chunk, epoch: int) -> Plan | None:
        """Send what a chunk makes of the plan; None where it was begun in another epoch or came late."""
        with self._lock:
            self.check_clock()
            if not self._open or epoch != self._epoch:
                return None
            return self._send(self.pipeline.add_chunk, chunk, self._now_ns())

    def proceed(self) -> None:
        """Do what is due with the plan in force: send its next stretch, and goals to grippers."""
        with self._lock:
            if self._open and self.state is MotionState.RUNNING:
                now_ns = self._now_ns()
                self._send(self.pipeline.extend, now_ns)
                self._outputs.follow(self.pipeline.plan, now_ns)

    def may_observe(self, since_ns: int) -> bool:
        """Whether it is the policy's turn, given an observation that begins at ``since_ns``."""
        with self._lock:
            return self.pipeline.accepts_observation(since_ns)

    def slow_down(self, scale: float) -> None:
        """Keep velocities below so much (0 to 1) of their limits."""
        with self._lock:
            self.pipeline.set_velocity_scale(scale)

    def hold(self, reason: str, recoverable: bool = False) -> None:
        """Brake both arms and latch; a cause that needs an operator makes a recoverable hold need one."""
        if self._hold(reason, recoverable):
            way_out = "resumes by itself" if recoverable else "call ~/resume when the cause is gone"
            self._logger.error(f"HOLD: {reason} ({way_out})")

    def still_holding(self, trouble: str) -> None:
        """Have the status name what is missing now: a dead stream may show itself as starvation first."""
        with self._lock:
            self._uncommanded |= self._outputs.missing().keys()
            if self.recoverable and self.state is MotionState.HOLD:
                same = trouble.partition(":")[0] == self._first_reason.partition(":")[0]
                self.pipeline.hold_reason = trouble if same else f"{self._first_reason}; now {trouble}"

    def check_clock(self) -> float:
        """Hold if the clock was set since this was last called; for how long it has stood still [s]."""
        with self._lock:
            jump = self._look_at_clocks()
            if jump is not None:
                # Set back, the controllers stay at the point of the plan that they had come to; set ahead,
                # they went on to where it is by now.
                stopped_ns = jump.expected_ns if jump.by_ns < 0 else None
                if self._hold(str(jump), recoverable=True, stopped_ns=stopped_ns):
                    self._logger.error(f"HOLD: {jump} (resumes by itself)")
                else:  # a hold in force was stamped by the former time
                    self._uncommanded |= {controller.name for controller in self._contract.controllers}
            return self._clocks.stopped_for(self._steady_ns())

    def resume(self) -> bool:
        """Leave HOLD; False while the arms still brake."""
        with self._lock:
            uncommanded = np.zeros(self._contract.action_dim, dtype=bool)  # (A,)
            for name in self._uncommanded:
                uncommanded[self._contract.indices(name)] = True
            resumed = self.pipeline.resume(self._now_ns(), self._measured(), uncommanded)
            if resumed:
                self._uncommanded.clear()
                self._epoch += 1
            return resumed

    def change_task(self) -> None:
        """Forget what was predicted for the former task; what is under way for it comes to nothing."""
        with self._lock:
            self._epoch += 1
            self.pipeline.change_task()

    def _send(self, make_plan: Callable[..., Plan | None], *arguments: Any) -> Plan | None:
        """Publish what becomes the plan; what must not be published becomes a hold."""
        try:
            plan = make_plan(*arguments)
            if plan is not None:
                self._outputs.send(self._outputs.checked_messages(plan, self._now_ns()))
        except PlanRejected as error:
            self.hold(f"plan rejected: {error}")
            return None
        return plan

    def _look_at_clocks(self) -> Jump | None:
        for _ in range(10):  # until nothing came between the two readings
            before_ns, now_ns, after_ns = self._steady_ns(), self._now_ns(), self._steady_ns()
            if after_ns - before_ns < 10_000_000:
                break
        return self._clocks.update(now_ns, after_ns)

    def _hold(self, reason: str, recoverable: bool, stopped_ns: int | None = None) -> bool:
        """Publish the braking plan; False where the way is closed or a hold is already in force."""
        with self._lock:
            if not self._open:
                return False
            self._epoch += 1
            now_ns = self._now_ns()
            plan = self.pipeline.hold(reason, now_ns, self._measured(), stopped_ns)
            if plan is None:
                if self.recoverable and not recoverable:
                    self.recoverable, self.pipeline.hold_reason = False, reason
                    return True
                return False
            self.recoverable, self._first_reason = recoverable, reason
            self._uncommanded = set(self._outputs.missing())
            try:
                check_plan(plan, self.pipeline.limits, self.pipeline.joints, now_ns)
                messages = self._outputs.checked_messages(plan, now_ns)
            except PlanRejected as error:  # braking imperfectly beats not braking
                self._logger.error(f"the braking plan is not perfect: {error}")
                messages = self._outputs.messages(plan)
            self._outputs.send(messages)
            return True
