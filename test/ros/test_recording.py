# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between sampling and disk ends the episode with a reason, and never the thread."""

import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from contracts import SMALL_CONTRACT
from rclpy.logging import get_logger
from sensor_msgs.msg import Image
from waiting import wait_for

from dit_policy_ros.core.episode_sampler import EpisodeFrame
from dit_policy_ros.core.errors import DatasetError, StreamError
from dit_policy_ros.ros.episode_writer import EpisodeWriter
from dit_policy_ros.ros.recording import Recording

TASK = "touch the cube"


class Sink:
    """Keeps what it is given; fails as told, and can be made slow."""

    def __init__(self) -> None:
        self.next_index = 0
        self.frames: list[tuple] = []
        self.calls: list[str] = []
        self.failures: dict[str, Exception] = {}
        self.go = threading.Event()
        self.go.set()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failures:
            raise self.failures.pop(name)

    def begin_episode(self) -> None:
        self._called("begin")

    def add_frame(self, images, state, action, task) -> None:
        self.go.wait(10.0)
        self._called("add")
        self.frames.append((images, state, action, task))

    def save_episode(self) -> int:
        self._called("save")
        self.next_index += 1
        return self.next_index - 1

    def discard_episode(self) -> None:
        self._called("discard")
        self.frames.clear()

    def finalize(self) -> None:
        self._called("finalize")


class Sampler:
    """Has a number of frames ready at every poll."""

    def __init__(self, ready: int = 0) -> None:
        self.ready, self.frames = ready, 0
        self.missing = {"top": 0}
        self.rate = (30.0, 0.04)
        self.error: StreamError | None = None

    def poll(self, now_ns: int) -> EpisodeFrame | None:
        if self.error is not None:
            raise self.error
        if self.frames >= self.ready:
            return None
        self.frames += 1
        return frame(self.frames)

    def reached(self) -> tuple[float, float]:
        return self.rate


def image(height: int, width: int) -> Image:
    return Image(height=height, width=width, encoding="rgb8", step=3 * width, data=bytes(3 * width * height))


def frame(number: int, height: int = 48) -> EpisodeFrame:
    images = {"top": image(height, 64), "wrist": image(32, 48)}
    return EpisodeFrame(number, images, np.full(3, float(number)), np.full(3, number + 0.5))


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def writer(sink: Sink):
    writer = EpisodeWriter(sink, SMALL_CONTRACT.cameras, 4, get_logger("test"))
    yield writer
    sink.go.set()
    writer.close()


def test_frames_arrive_decoded_and_in_order(sink: Sink, writer: EpisodeWriter) -> None:
    recording = Recording(TASK, Sampler(ready=3), writer, 30.0)
    writer.begin()
    assert not recording.tick(0)
    recording.end(0)
    assert writer.save() == 0
    assert [float(state[0]) for _, state, _, _ in sink.frames] == [1.0, 2.0, 3.0]
    images, _, action, task = sink.frames[0]
    assert (images["top"].shape, images["wrist"].shape) == ((48, 64, 3), (32, 48, 3))
    assert action[0] == 1.5
    assert task == TASK
    report = recording.report(0, True)
    assert (report.frames, report.episode_index, list(report.warnings)) == (3, 0, [])
    assert report.duration == pytest.approx(2 / 30)


def test_nothing_is_taken_after_the_end(writer: EpisodeWriter) -> None:
    sampler = Sampler(ready=1)
    recording = Recording(TASK, sampler, writer, 30.0)
    recording.end(0)
    sampler.ready = 5
    assert not recording.tick(0)
    assert sampler.frames == 1


def test_a_disk_too_slow_ends_the_episode_but_keeps_it(sink: Sink, writer: EpisodeWriter) -> None:
    sink.go.clear()
    recording = Recording(TASK, Sampler(ready=100), writer, 30.0)
    writer.begin()
    assert recording.tick(0)
    assert "faster than they can be encoded" in recording.failure
    assert not recording.tick(0)  # said once
    sink.go.set()
    recording.end(0)
    assert writer.save() == 0
    numbers = [float(state[0]) for _, state, _, _ in sink.frames]
    assert numbers == list(range(1, len(numbers) + 1))
    assert 4 <= len(numbers) <= 5
    assert "ended early" in recording.report(0, True).warnings[0]


def test_an_image_that_cannot_be_used_ends_the_episode_but_keeps_it(
    sink: Sink, writer: EpisodeWriter
) -> None:
    recording = Recording(TASK, Sampler(), writer, 30.0)
    writer.begin()
    for number, height in ((1, 48), (2, 64), (3, 48)):
        assert writer.put(frame(number, height), TASK)
    wait_for(lambda: recording.tick(0), 30.0, "the recording notices")
    assert "image is 64x64, expected 64x48" in recording.failure
    assert writer.save() == 0
    assert len(sink.frames) == 1


def test_a_sink_that_fails_loses_the_episode_and_says_so(sink: Sink, writer: EpisodeWriter) -> None:
    sink.failures["add"] = DatasetError("disk full")
    recording = Recording(TASK, Sampler(ready=2), writer, 30.0)
    writer.begin()
    recording.tick(0)
    with pytest.raises(DatasetError, match="the episode is lost: disk full"):
        writer.save()
    assert "save" not in sink.calls
    writer.begin()
    assert writer.put(frame(1), TASK)
    assert writer.save() == 0


def test_the_sink_is_opened_again_after_a_save(sink: Sink, writer: EpisodeWriter) -> None:
    writer.begin()
    writer.put(frame(1), TASK)
    sink.failures["begin"] = DatasetError("read-only")
    writer.save()
    wait_for(lambda: sink.calls == ["begin", "add", "save", "begin"], 30.0, "it is opened again")
    sink.failures["begin"] = DatasetError("read-only")
    with pytest.raises(DatasetError, match="read-only"):
        writer.begin()
    writer.begin()


def test_a_bug_in_the_sink_does_not_end_the_thread(sink: Sink, writer: EpisodeWriter) -> None:
    sink.failures["add"] = ZeroDivisionError("oops")
    writer.begin()
    writer.put(frame(1), TASK)
    wait_for(lambda: writer.failure, 30.0, "the failure is known")
    assert "ZeroDivisionError: oops" in writer.failure
    writer.discard()
    assert sink.calls == ["begin", "add", "discard"]


def test_an_episode_that_cannot_be_saved_is_discarded(sink: Sink, writer: EpisodeWriter) -> None:
    sink.failures["save"] = DatasetError("too short")
    writer.begin()
    with pytest.raises(DatasetError, match="too short"):
        writer.save()
    assert sink.calls == ["begin", "save", "discard"]


def test_whoever_begins_hears_why_not(sink: Sink, writer: EpisodeWriter) -> None:
    sink.failures["begin"] = DatasetError("read-only")
    with pytest.raises(DatasetError, match="read-only"):
        writer.begin()


def test_closing_finalizes_once(sink: Sink, writer: EpisodeWriter) -> None:
    writer.close()
    writer.close()
    assert sink.calls == ["finalize"]


def test_warnings_name_slow_cameras_missing_samples_and_jumps(writer: EpisodeWriter) -> None:
    sampler = Sampler(ready=2)
    recording = Recording(TASK, sampler, writer, 30.0)
    recording.tick(0)
    sampler.rate, sampler.missing = (15.0, 0.1), {"top": 7}
    sampler.error = StreamError("the clock was set back by 5.00 s")
    assert recording.tick(0)
    writer.discard()
    warnings = recording.report(-1, False).warnings
    assert len(warnings) == 3
    assert "the clock was set back by 5.00 s" in warnings[0]
    assert "delivered 15.0 images per second of 30" in warnings[1]
    assert "config/fastdds.xml" in warnings[1]
    assert "top: 7 of 2 frames repeat" in warnings[2]
