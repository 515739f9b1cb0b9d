# SPDX-License-Identifier: Apache-2.0
"""Streams the plan in force to controllers of poses, which have no queue: each message is the present target.

A thread publishes the plan's pose for the present time at the rate of the contract, until the arm is at rest;
the controller keeps the last target then. So a HOLD brakes along the path and stays, as for joints. What
differs: if this node dies, such an arm stops at its last target at once, and does not brake along the plan.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node

from dit_policy_ros.core.contract import Contract, Controller
from dit_policy_ros.core.motion import Plan
from dit_policy_ros.core.poses import PoseArm
from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.controllers._smooth_targets import SmoothTargets
from dit_policy_ros.ros.poses import pose_message

_REPEATED_NS = 200_000_000  # the last target is repeated this long: a message may be lost
_JOIN_TIMEOUT = 2.0  # [s]
_POLL = 2e-3  # [s]
_LENGTH_TOLERANCE = 1e-6  # of a quaternion


class PoseTargets:
    """Publishes the targets of all controllers of poses, from a thread of its own. Thread-safe."""

    def __init__(self, node: Node, contract: Contract, on_fault: Callable[[str], None]) -> None:
        """Prepare; ``send`` starts the thread.

        Args:
            node: its clock is the plans'.
            contract: of the robot.
            on_fault: called with the reason if a target must not be sent.
        """
        self._node, self._on_fault = node, on_fault
        self._arms: list[_Arm] = []
        self._contract = contract
        self._lock = threading.Lock()  # of the plan: after ``send`` nothing of an older plan is published
        self._plan: Plan | None = None  # None: there is nothing to publish
        self._targets = SmoothTargets(contract.limits, node.get_parameter("use_sim_time").value)
        self._rest_ns = 0  # from when on the arms are at rest in the plan [ns]
        self._has_plan = threading.Event()
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, controller: Controller, publisher: Any) -> None:
        """Publish the targets of a controller, too."""
        if controller.pose is None:
            raise ValueError(f"{controller.name} takes no poses")
        self._arms.append(_Arm(controller.pose, self._contract.indices(controller), publisher))

    def send(self, plan: Plan) -> None:
        """Stream a plan from now on, instead of the one before."""
        if not self._arms:
            return
        columns = np.concatenate([arm.columns for arm in self._arms])
        with self._lock:
            self._targets.follow(plan, self._now_ns(), time.monotonic_ns())
            self._plan, self._rest_ns = plan, plan.rest_ns(columns)
            fault = self._publish(self._arms)
            if self._plan is not None:
                self._has_plan.set()
        if fault:
            self._on_fault(fault)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pose_targets", daemon=True)
            self._thread.start()

    @property
    def has_joined(self) -> bool:
        """Whether the targets are those of the plan: no gap is being closed."""
        with self._lock:
            return self._plan is None or self._targets.has_joined

    def begin(self) -> None:
        """Motion begins at rest, maybe elsewhere than the last target: at an activation or after a HOLD."""
        with self._lock:
            self._end()
            self._targets.forget()

    def finish(self, timeout: float) -> bool:
        """Wait until the arms have got the target of their rest; whether they have within ``timeout`` [s]."""
        deadline = time.monotonic() + timeout
        while self._has_plan.is_set() and not self._is_stopping.is_set():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def close(self) -> None:
        """End the thread."""
        self._is_stopping.set()
        self._has_plan.set()
        if self._thread is not None:
            self._thread.join(_JOIN_TIMEOUT)

    def _run(self) -> None:
        try:
            self._stream()
        except Exception as error:  # noqa: BLE001 - a stream of targets must not end without a word
            if not self._is_stopping.is_set():
                self._on_fault(f"the stream of target poses has ended: {type(error).__name__}: {error}")

    def _stream(self) -> None:
        while self._has_plan.wait() and not self._is_stopping.is_set():
            now = time.monotonic()
            due = [arm for arm in self._arms if arm.due <= now]
            for arm in due:  # on a fixed grid; what a busy computer misses is skipped
                period = 1.0 / arm.pose.rate
                arm.due = max(arm.due + period, now + 0.5 * period)
            with self._lock:
                fault = self._publish(due) if due and self._plan is not None else ""
            if fault:  # not under the lock: who holds the arms has the motion's lock before ours
                self._on_fault(fault)
            rest = min(arm.due for arm in self._arms) - time.monotonic()
            self._is_stopping.wait(max(0.0, rest))

    def _publish(self, arms: list["_Arm"]) -> str:
        """Publish the present targets; returns why that must not be, or "". The lock is held."""
        now_ns = self._now_ns()
        pose = self._targets.at(now_ns, time.monotonic_ns())  # (A,)
        for arm in arms:
            target = pose[arm.columns]  # (6,)
            message = pose_message(arm.pose, target, to_stamp(now_ns)) if np.isfinite(target).all() else None
            if message is None or not is_sound(message):  # the plan was checked; the last look at what leaves
                self._end()
                self._targets.forget()
                return f"the target of {arm.pose.name} is no pose: {target.tolist()}"
            arm.publisher.publish(message)
        if not self._targets.has_joined:
            self._rest_ns = max(self._rest_ns, now_ns)
        if now_ns > self._rest_ns + _REPEATED_NS:
            self._end()
        return ""

    def _end(self) -> None:
        self._plan = None
        self._has_plan.clear()

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds


class _Arm:
    """One arm: its columns in a plan (6,), its publisher, and when its next target is due [s]."""

    def __init__(self, pose: PoseArm, columns: np.ndarray, publisher: Any) -> None:
        self.pose, self.columns, self.publisher = pose, columns, publisher
        self.due = 0.0


def is_sound(message: PoseStamped) -> bool:
    """Whether a target is finite, and its orientation a rotation."""
    position, turn = message.pose.position, message.pose.orientation
    length = math.hypot(turn.x, turn.y, turn.z, turn.w)
    is_finite = all(map(math.isfinite, (position.x, position.y, position.z, length)))
    return is_finite and abs(length - 1.0) < _LENGTH_TOLERANCE and bool(message.header.frame_id)
