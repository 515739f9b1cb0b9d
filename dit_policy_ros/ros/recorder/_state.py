# SPDX-License-Identifier: Apache-2.0
"""The recorder's state, kept once: the node changes it, and the status reporter reads it."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.timer import Timer

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.data.recording import EpisodeSink
from dit_policy_ros.msg import RecorderStatus
from dit_policy_ros.ros.recorder._episode import Recording
from dit_policy_ros.ros.recorder._episode_writer import EpisodeWriter
from dit_policy_ros.ros.recorder._streams import RecorderStreams
from dit_policy_ros.ros.teleoperation import Buttons


@dataclass(frozen=True, slots=True)
class Configured:
    """Everything that exists from configure to cleanup."""

    contract: Contract
    settings: dict[str, Any]
    streams: RecorderStreams
    sink: EpisodeSink
    writer: EpisodeWriter
    sample_timer: Timer  # cancelled while no episode is recorded

    @property
    def folder(self) -> Path:
        """The dataset's folder."""
        return Path(self.settings["dataset"])


@dataclass(slots=True)
class RecorderState:
    """What changes while the node runs.

    ready_at: monotonic time before which no episode can begin, because the scene is being reset [s].
    buttons: of a gamepad or pedal; None without one.
    """

    configured: Configured | None = None
    recording: Recording | None = None
    is_saving: bool = False
    ready_at: float = 0.0
    buttons: Buttons | None = None

    @property
    def countdown(self) -> float:
        """Time left to reset the scene [s]."""
        return max(0.0, self.ready_at - time.monotonic())

    def status_code(self, is_active: bool) -> int:
        """The constant of RecorderStatus for this state. is_active: of the lifecycle node."""
        if self.configured is None:
            return RecorderStatus.UNCONFIGURED
        if self.is_saving:
            return RecorderStatus.SAVING
        if self.recording is not None:
            return RecorderStatus.RECORDING if self.recording.stopped is None else RecorderStatus.ENDED
        return RecorderStatus.READY if is_active else RecorderStatus.INACTIVE
