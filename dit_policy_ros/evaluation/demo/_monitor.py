# SPDX-License-Identifier: Apache-2.0
"""Follows the demo through policy status, referee and a camera, and judges each instruction."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image

from dit_policy_ros.evaluation.simulator import RefereeMonitor
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import image_to_rgb, qos, stamp_ns
from dit_policy_ros.sim.tasks import find_task, steps_within

IMAGE_HEIGHT, IMAGE_WIDTH = 240, 320  # of the simulator's cameras [pixel]
FILM_CAMERA = "overview"  # from the side and above: seen from the top, a lifted cube hardly moves
COUNTERS = (
    *("chunks", "plans", "holds", "expired_chunks", "disagreements", "limited_knots", "clamped_knots"),
    "missed_ticks",
)  # of the policy's status, which counts anew from each activation on


@dataclass(slots=True)
class Trial:
    """How one instruction went. Times in s since the instruction was given, distances in m.

    Attributes:
        instruction: the task.
        began: when the trial began, as ``time.monotonic()``.
        touches_before: contacts of arm and cube before it began, by instruction of the touching task.
        seconds: how long it took so far.
        distance: between gripper and cube, if the instruction is to touch one; otherwise NaN.
        min_distance: the smallest so far.
        success: whether the task was done.
        time_to_success: None without success.
        wrong_touches: contacts of arm and cube that began during the trial and are not part of the task.
        changed_while_running: the instruction was given while the policy followed another one.
    """

    instruction: str
    began: float
    touches_before: dict[str, int]
    seconds: float = 0.0
    distance: float = math.nan
    min_distance: float = math.inf
    success: bool = False
    time_to_success: float | None = None
    wrong_touches: int = 0
    changed_while_running: bool = False


class DemoMonitor:
    """Subscribes to the nodes and judges the running trial.

    Args:
        node: gets the subscriptions.
        on_image: called with each image's stamp [ns], the image uint8 (H, W, 3) RGB, and this monitor.

    Attributes:
        status: the policy's newest status; None before the first.
        trial_status: the newest one that arrived during a trial.
        totals: the policy's counters, summed over its activations that are over.
        referee: the simulator's referee.
        trial: the running one, if any.
        trials: all trials.
        hold_reasons: one example of each kind of reason; reasons of one kind differ only in their numbers.
    """

    def __init__(self, node: Node, on_image: Callable[[int, NDArray[np.uint8], "DemoMonitor"], None]) -> None:
        self.status: PolicyStatus | None = None
        self.trial_status: PolicyStatus | None = None
        self.totals = dict.fromkeys(COUNTERS, 0)
        self._activation: PolicyStatus | None = None  # the newest status of a trial of this activation
        self.trial: Trial | None = None
        self.trials: list[Trial] = []
        self.hold_reasons: dict[str, str] = {}
        self.referee = RefereeMonitor(node, self._on_referee)
        self._on_image = on_image
        node.create_subscription(PolicyStatus, "/policy/status", self._on_status, qos.STATUS)
        node.create_subscription(Image, f"/{FILM_CAMERA}/image_raw", self._on_image_message, qos.IMAGES)

    def begin_trial(self, instruction: str, changed_while_running: bool = False) -> Trial:
        """Start to judge an instruction."""
        self.trial = Trial(
            instruction,
            time.monotonic(),
            self._touches(),
            changed_while_running=changed_while_running,
        )
        self.trials.append(self.trial)
        return self.trial

    def end_trial(self) -> None:
        """Stop judging: what follows is not part of the trial."""
        self.trial = None

    def end_activation(self) -> None:
        """The policy is deactivated next: add its counters to the totals."""
        if self._activation is not None:
            for name in COUNTERS:
                self.totals[name] += int(getattr(self._activation, name))
        self._activation = None

    def _touches(self) -> dict[str, int]:
        values = self.referee.values
        return {k.removesuffix("/touches"): int(v) for k, v in values.items() if k.endswith("/touches")}

    def _on_status(self, message: PolicyStatus) -> None:
        reason, before = message.hold_reason, "" if self.status is None else self.status.hold_reason
        if self.trial is not None and reason not in ("", before):
            self.hold_reasons.setdefault(re.sub(r"\d+(\.\d+)?", "#", reason), reason)
        self.status = message
        if self.trial is not None:
            self.trial_status = self._activation = message

    def _on_referee(self) -> None:
        trial, values = self.trial, self.referee.values
        if trial is None or f"{trial.instruction}/done" not in values:
            return
        trial.seconds = time.monotonic() - trial.began
        if f"{trial.instruction}/distance" in values:
            trial.distance = float(values[f"{trial.instruction}/distance"])
            trial.min_distance = min(trial.min_distance, trial.distance)
        task = find_task(trial.instruction)
        needed = {each.instruction for each in (task, *steps_within(task))}
        new = {name: count - trial.touches_before.get(name, 0) for name, count in self._touches().items()}
        trial.wrong_touches = sum(count for name, count in new.items() if name not in needed)
        if self.referee.is_done(trial.instruction) and not trial.success:
            trial.success, trial.time_to_success = True, trial.seconds

    def _on_image_message(self, message: Image) -> None:
        image = image_to_rgb(message, IMAGE_HEIGHT, IMAGE_WIDTH)
        self._on_image(stamp_ns(message.header.stamp), image, self)
