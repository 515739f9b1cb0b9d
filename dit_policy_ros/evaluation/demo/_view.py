# SPDX-License-Identifier: Apache-2.0
"""What the demo sees: the policy's status, the referee's verdicts and the top camera; one trial a task."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import image_to_rgb, qos, stamp_ns
from dit_policy_ros.sim.tasks import find_task, steps_within

IMAGE_HEIGHT, IMAGE_WIDTH = 240, 320  # of the simulator's top camera [pixel]


@dataclass(slots=True)
class Trial:
    """How one instruction went. Times in s since the instruction, distances in m."""

    instruction: str
    began: float  # time.monotonic()
    touches_before: dict[str, int]
    seconds: float = 0.0
    distance: float = math.nan  # between gripper and cube, where the instruction is to touch one
    min_distance: float = math.inf
    success: bool = False
    time_to_success: float | None = None
    wrong_touches: int = 0  # contacts of arm and cube that began meanwhile and that the task has no need of


class DemoView:
    """Subscribes and keeps the newest of everything."""

    def __init__(self, node: Node, on_image: Callable[[int, NDArray[np.uint8], "DemoView"], None]) -> None:
        """on_image: called with the stamp [ns], the image uint8 (H, W, 3) RGB and this view."""
        self.status: PolicyStatus | None = None
        self.at_work: PolicyStatus | None = None  # the newest while an instruction was judged
        self.referee: dict[str, str] = {}
        self.trial: Trial | None = None
        self.trials: list[Trial] = []
        self.hold_reasons: dict[str, str] = {}  # one example of each kind; kinds differ in more than figures
        self._on_image = on_image
        node.create_subscription(PolicyStatus, "/policy/status", self._take_status, qos.STATUS)
        node.create_subscription(DiagnosticStatus, "/sim/referee", self._take_referee, qos.STATUS)
        node.create_subscription(Image, "/top/image_raw", self._take_image, qos.IMAGES)

    def begin(self, instruction: str) -> Trial:
        """Starts to judge an instruction."""
        self.trial = Trial(instruction, time.monotonic(), self._touches())
        self.trials.append(self.trial)
        return self.trial

    def end(self) -> None:
        """Nothing more is judged: what follows is the way out."""
        self.trial = None

    def _touches(self) -> dict[str, int]:
        return {k.removesuffix("/touches"): int(v) for k, v in self.referee.items() if k.endswith("/touches")}

    def _take_status(self, message: PolicyStatus) -> None:
        reason, before = message.hold_reason, "" if self.status is None else self.status.hold_reason
        if self.trial is not None and reason not in ("", before):
            self.hold_reasons.setdefault(re.sub(r"\d+(\.\d+)?", "#", reason), reason)
        self.status = message
        if self.trial is not None:
            self.at_work = message

    def _take_referee(self, message: DiagnosticStatus) -> None:
        self.referee = {pair.key: pair.value for pair in message.values}
        trial = self.trial
        if trial is None or f"{trial.instruction}/done" not in self.referee:
            return
        trial.seconds = time.monotonic() - trial.began
        if f"{trial.instruction}/distance" in self.referee:
            trial.distance = float(self.referee[f"{trial.instruction}/distance"])
            trial.min_distance = min(trial.min_distance, trial.distance)
        task = find_task(trial.instruction)
        needed = {each.instruction for each in (task, *steps_within(task))}
        new = {name: count - trial.touches_before.get(name, 0) for name, count in self._touches().items()}
        trial.wrong_touches = sum(count for name, count in new.items() if name not in needed)
        if self.referee[f"{trial.instruction}/done"] != "no" and not trial.success:
            trial.success, trial.time_to_success = True, trial.seconds

    def _take_image(self, message: Image) -> None:
        image = image_to_rgb(message, IMAGE_HEIGHT, IMAGE_WIDTH)
        self._on_image(stamp_ns(message.header.stamp), image, self)
