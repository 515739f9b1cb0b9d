# SPDX-License-Identifier: Apache-2.0
"""What motion depends on besides the controllers: the node, the inference node, and the streams."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.motion import ChunkDeadline, EStop, MotionState, Pipeline
from dit_policy_ros.core.sensing import StreamBuffer, stale_reason
from dit_policy_ros.ros.inference_link import InferenceLink
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


def input_fault(link: InferenceLink, joints: StreamBuffer, now_ns: int) -> str:
    """What is wrong with the inference node or the streams at ``now_ns`` [ns]; empty if nothing is.

    A lost inference node comes first: what it says about the streams is old.
    """
    fault = link.fault()
    if not fault:
        faults = link.streams.faults()
        if reason := stale_reason(joints, now_ns):
            others = {name: text for name, text in faults.items() if name in link.streams}
            faults = {**others, joints.name: reason}
        if faults:
            fault = "stale observation: " + "; ".join(faults.values())
    return fault


class ChunkWatch:
    """Whether the policy gives chunks in time. All calls but `set_busy` are made under the motion's lock.

    Args:
        pipeline: takes the chunks.
        clocks: the node's clocks.
        timeout: without a usable chunk for this long the arms hold [s].
    """

    def __init__(self, pipeline: Pipeline, clocks: Clocks, timeout: float) -> None:
        self._pipeline, self._clocks, self._deadline = pipeline, clocks, ChunkDeadline(timeout)

    @property
    def missed(self) -> bool:
        """Whether the arms stopped for want of a chunk, and none has come since."""
        return self._deadline.missed

    def restart(self) -> None:
        """Await a chunk from now on."""
        self._deadline.restart(self._clocks.now_ns(), self._clocks.steady_ns())

    def add_late_chunk(self) -> None:
        """Count a chunk that came too late."""
        self._deadline.add_late_chunk()

    def set_busy(self, seconds: float) -> None:
        """Note how long the present inference has been running [s]; 0: none runs."""
        since_ns = self._clocks.steady_ns() - round(seconds * NANOSECONDS)
        self._deadline.set_busy(since_ns if seconds > 0.0 else None)

    def fault(self, until_ns: int) -> str:
        """Why the arms must hold for want of a chunk; empty if there is no reason.

        Args:
            until_ns: the active plan should reach that far [ns].
        """
        if self._pipeline.led.all():
            self.restart()  # nobody waits for the policy
            return ""
        if self._pipeline.state is not MotionState.HOLD:
            if not self._pipeline.awaits_chunk(self._clocks.now_ns()):
                self.restart()
            elif self._pipeline.starved(until_ns) or self._is_overdue():
                self._deadline.miss(self._clocks.now_ns(), self._clocks.steady_ns())
        if overdue := self.overdue():
            return overdue
        if self._deadline.missed:
            return (
                "starved: the current plan ends and no new chunk has arrived. Inference is too slow, or "
                "this computer is too busy"
            )
        return ""

    def overdue(self) -> str:
        """Since when the policy has given no usable chunk; empty if none is overdue."""
        steady_ns, is_overdue = self._clocks.steady_ns(), self._is_overdue()
        if not (is_overdue or self._deadline.is_hung(steady_ns)):
            return ""
        return self._deadline.describe(steady_ns, is_overdue)

    def _is_overdue(self) -> bool:
        now_ns = self._clocks.now_ns()
        is_awaited = self._deadline.missed or self._pipeline.awaits_chunk(now_ns)
        return is_awaited and self._deadline.is_over(now_ns, self._clocks.steady_ns())
