# SPDX-License-Identifier: Apache-2.0
"""Both sides of a recorder's writer: a sink that keeps its frames, and a sampler. Needs rclpy."""

import threading

import numpy as np
from contracts import SMALL_CONTRACT
from rclpy.logging import get_logger
from sensor_msgs.msg import Image

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording import EpisodeFrame, StreamLosses
from dit_policy_ros.core.recording._episode_trace import EpisodeTrace
from dit_policy_ros.core.sensing import StreamCounters
from dit_policy_ros.data.recording import CameraHealth, EndedEpisode, EpisodeOutcome
from dit_policy_ros.ros.recorder import Recording
from dit_policy_ros.ros.recorder._episode_writer import EpisodeWriter

TASK = "touch the cube"


class Sink:
    """Keeps its frames; raises the given failures, and can be made slow."""

    def __init__(self) -> None:
        self.next_index = self.pending_commits = self.queued_images = 0
        self.jpeg_cameras: set[str] = set()
        self.frames: list[tuple] = []
        self.calls: list[str] = []
        self.labels: list[EpisodeOutcome] = []
        self.failures: dict[str, Exception] = {}
        self.go = threading.Event()
        self.go.set()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failures:
            raise self.failures.pop(name)

    def begin_episode(self) -> None:
        self._called("begin")

    def add_frame(self, images, state, action, task, stamp_ns=0, repeated=(), vectors=()) -> None:
        self.go.wait(10.0)
        self._called("add")
        self.frames.append((images, state, action, task, repeated))

    def end_episode(self) -> EndedEpisode:
        self._called("end")
        return EndedEpisode(len(self.frames), {"top": CameraHealth(len(self.frames), 0, 0, 2)})

    def save_episode(self, label: EpisodeOutcome) -> int:
        self._called("save")
        self.labels.append(label)
        self.next_index += 1
        return self.next_index - 1

    def discard_episode(self) -> None:
        self._called("discard")
        self.frames.clear()

    def resolve_interrupted(self, keep: bool) -> int:
        self._called("resolve")
        return 7

    def finalize(self) -> None:
        self._called("finalize")


class Sampler:
    """Has a given number of frames ready."""

    def __init__(self, ready: int = 0) -> None:
        self.ready, self.frames = ready, 0
        self.missing = {"top": 0}
        self.trace = EpisodeTrace(30.0, ("top", "wrist"))
        self.rate = (30.0, 0.04)
        self.error: StreamError | None = None
        self.human_frames, self.policies = 0, dict[str, str]()

    def poll(self, now_ns: int) -> EpisodeFrame | None:
        if self.error is not None:
            raise self.error
        if self.frames >= self.ready:
            return None
        self.frames += 1
        taken = frame(self.frames)
        self.trace.add(taken.stamp_ns, taken.state, taken.action, [taken.stamp_ns] * 2, taken.repeated)
        return taken

    def slowest_camera(self) -> tuple[float, float]:
        return self.rate

    def slowest_camera_name(self) -> str:
        return "top"

    def losses(self) -> dict[str, StreamLosses]:
        return {"top": StreamLosses(StreamCounters(duplicates=3, late=1, future=2))}


def image(height: int, width: int) -> Image:
    return Image(height=height, width=width, encoding="rgb8", step=3 * width, data=bytes(3 * width * height))


def frame(number: int, height: int = 48) -> EpisodeFrame:
    images = {"top": image(height, 64), "wrist": image(32, 48)}
    stamp_ns = number * 33_333_333
    return EpisodeFrame(stamp_ns, images, np.full(3, float(number)), np.full(3, number + 0.5))


def start(sampler: Sampler, writer: EpisodeWriter, max_length: float = 0.0) -> Recording:
    return Recording(TASK, SMALL_CONTRACT, sampler=sampler, writer=writer, max_length=max_length)


def make_writer(sink: Sink, patience: float = 30.0) -> EpisodeWriter:
    return EpisodeWriter(
        lambda: sink,
        cameras=SMALL_CONTRACT.cameras,
        capacity=4,
        logger=get_logger("test"),
        patience=patience,
    )
