# SPDX-License-Identifier: Apache-2.0
"""Errors between sampling and disk end the episode with a reason, and never the writer's thread."""

import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from contracts import SMALL_CONTRACT
from rclpy.logging import get_logger
from sensor_msgs.msg import CompressedImage, Image
from waiting import wait_for

from dit_policy_ros.core.errors import DatasetError, StreamError
from dit_policy_ros.core.recording import CheckThresholds, EpisodeCheck, EpisodeFrame
from dit_policy_ros.core.recording._episode_trace import EpisodeTrace
from dit_policy_ros.core.sensing import StreamCounters
from dit_policy_ros.data.recording import CameraHealth, EpisodeOutcome
from dit_policy_ros.ros.recorder import Recording
from dit_policy_ros.ros.recorder import _episode_writer as episode_writer
from dit_policy_ros.ros.recorder._episode_writer import EpisodeWriter

TASK = "touch the cube"


class Sink:
    """Keeps its frames; raises the given failures, and can be made slow."""

    def __init__(self) -> None:
        self.next_index = self.pending_commits = 0
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

    def add_frame(self, images, state, action, task, stamp_ns=0, repeated=()) -> None:
        self.go.wait(10.0)
        self._called("add")
        self.frames.append((images, state, action, task, repeated))

    def end_episode(self) -> dict[str, CameraHealth]:
        self._called("end")
        return {"top": CameraHealth(len(self.frames), 0, 0, 2)}

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

    def stream_counters(self) -> dict[str, StreamCounters]:
        return {"top": StreamCounters(duplicates=3, late=1, future=2)}


def image(height: int, width: int) -> Image:
    return Image(height=height, width=width, encoding="rgb8", step=3 * width, data=bytes(3 * width * height))


def frame(number: int, height: int = 48) -> EpisodeFrame:
    images = {"top": image(height, 64), "wrist": image(32, 48)}
    stamp_ns = number * 33_333_333
    return EpisodeFrame(stamp_ns, images, np.full(3, float(number)), np.full(3, number + 0.5))


def start(sampler: Sampler, writer: EpisodeWriter, max_length: float = 0.0) -> Recording:
    return Recording(TASK, SMALL_CONTRACT, sampler=sampler, writer=writer, max_length=max_length)


@pytest.fixture
def sink() -> Sink:
    return Sink()


def make_writer(sink: Sink, patience: float = 30.0) -> EpisodeWriter:
    return EpisodeWriter(
        lambda: sink,
        cameras=SMALL_CONTRACT.cameras,
        capacity=4,
        logger=get_logger("test"),
        patience=patience,
    )


@pytest.fixture
def writer(sink: Sink):
    writer = make_writer(sink)
    yield writer
    sink.go.set()
    writer.close()


def test_frames_arrive_decoded_and_in_order(sink: Sink, writer: EpisodeWriter) -> None:
    recording = start(Sampler(ready=3), writer)
    writer.begin()
    assert not recording.tick(0)
    recording.end(0)
    assert writer.save(EpisodeOutcome()) == 0
    assert [float(state[0]) for _, state, *_ in sink.frames] == [1.0, 2.0, 3.0]
    images, _, action, task, _ = sink.frames[0]
    assert (images["top"].shape, images["wrist"].shape) == ((48, 64, 3), (32, 48, 3))
    assert action[0] == 1.5
    assert task == TASK
    recording.health = {"top": CameraHealth(3, 1, 2, 5)}
    report = recording.report(0, True, EpisodeCheck(reasons=("no",), warnings=("well",), jumps=4))
    assert (report.frames, report.episode_index, report.passed) == (3, 0, False)
    assert (list(report.reasons), list(report.warnings), report.action_jumps) == (["no"], ["well"], 4)
    assert report.duration == pytest.approx(2 / 30)
    assert (list(report.duplicates), list(report.late_samples)) == ([3], [3])
    assert [list(n) for n in (report.frozen_images, report.clipped_images, report.encoder_waits)] == [
        [1],
        [2],
        [5],
    ]


def test_jpeg_images_to_keep_are_not_decoded(sink: Sink, writer: EpisodeWriter) -> None:
    sink.jpeg_cameras = {"top"}
    writer.begin()
    jpeg = b"\xff\xd8 is handed on \xff\xd9"
    images = {"top": CompressedImage(format="jpeg", data=jpeg), "wrist": image(32, 48)}
    assert writer.put(EpisodeFrame(0, images, np.zeros(3), np.zeros(3)), TASK)
    writer.end()
    taken = sink.frames[0][0]
    assert taken["top"] == jpeg
    assert taken["wrist"].shape == (32, 48, 3)


def test_no_frame_is_written_after_the_end(writer: EpisodeWriter) -> None:
    sampler = Sampler(ready=1)
    recording = start(sampler, writer)
    recording.end(0)
    sampler.ready = 5
    assert not recording.tick(0)
    assert sampler.frames == 1


def test_a_slow_disk_ends_the_episode_but_keeps_it(sink: Sink, writer: EpisodeWriter) -> None:
    sink.go.clear()
    recording = start(Sampler(ready=100), writer)
    writer.begin()
    assert recording.tick(0)
    assert "faster than they can be encoded" in recording.stopped
    assert not recording.tick(0)  # reported once
    sink.go.set()
    recording.end(0)
    assert writer.save(EpisodeOutcome()) == 0
    numbers = [float(state[0]) for _, state, *_ in sink.frames]
    assert numbers == list(range(1, len(numbers) + 1))
    assert 4 <= len(numbers) <= 5
    assert "ended early" in recording.check(CheckThresholds()).reasons[0]


def test_an_unusable_image_ends_the_episode_but_keeps_it(sink: Sink, writer: EpisodeWriter) -> None:
    recording = start(Sampler(), writer)
    writer.begin()
    for number, height in ((1, 48), (2, 64), (3, 48)):
        assert writer.put(frame(number, height), TASK)
    wait_for(lambda: recording.tick(0), 30.0, "the recording notices")
    assert "image is 64x64, expected 64x48" in recording.stopped
    assert writer.save(EpisodeOutcome()) == 0
    assert len(sink.frames) == 1


def test_a_sink_that_fails_keeps_its_frames(sink: Sink, writer: EpisodeWriter) -> None:
    recording = start(Sampler(ready=1), writer)
    writer.begin()
    recording.tick(0)
    writer.end()
    sink.failures["add"] = DatasetError("disk full")
    assert writer.put(frame(2), TASK)
    wait_for(lambda: recording.tick(0), 30.0, "the recording notices")
    assert writer.put(frame(3), TASK)
    assert writer.save(EpisodeOutcome()) == 0
    assert len(sink.frames) == 1
    assert "at frame 1: disk full" in recording.check(CheckThresholds()).reasons[0]


def test_an_episode_that_cannot_be_saved_can_be_saved_later(sink: Sink, writer: EpisodeWriter) -> None:
    sink.failures["save"] = DatasetError("disk full")
    writer.begin()
    writer.put(frame(1), TASK)
    with pytest.raises(DatasetError, match="disk full"):
        writer.save(EpisodeOutcome())
    assert writer.save(EpisodeOutcome(success=True)) == 0
    assert sink.calls == ["begin", "add", "save", "save"]
    assert sink.labels == [EpisodeOutcome(success=True)]


def test_a_bug_in_the_sink_does_not_end_the_thread(sink: Sink, writer: EpisodeWriter) -> None:
    sink.failures["add"] = ZeroDivisionError("oops")
    writer.begin()
    writer.put(frame(1), TASK)
    wait_for(lambda: writer.failure, 30.0, "the failure is known")
    assert "ZeroDivisionError: oops" in writer.failure
    writer.discard()
    assert sink.calls == ["begin", "add", "discard"]


def test_begin_raises_the_sinks_error(sink: Sink, writer: EpisodeWriter) -> None:
    sink.failures["begin"] = DatasetError("read-only")
    with pytest.raises(DatasetError, match="read-only"):
        writer.begin()


def test_closing_finalizes_once(sink: Sink, writer: EpisodeWriter) -> None:
    writer.close()
    writer.close()
    assert sink.calls == ["finalize"]


def test_errors_come_first_in_the_check(writer: EpisodeWriter) -> None:
    sampler = Sampler(ready=2)
    recording = start(sampler, writer)
    recording.tick(0)
    sampler.rate = (15.0, 0.1)
    sampler.error = StreamError("the clock was set back by 5.00 s")
    assert recording.tick(0)
    writer.discard()
    check = recording.check(CheckThresholds())
    assert "the clock was set back by 5.00 s" in check.reasons[0]
    assert "delivered 15.0 of 30 images per second" in check.reasons[1]
    assert "config/fastdds.xml" in check.reasons[1]


def test_the_instruction_can_change_within_an_episode(sink: Sink, writer: EpisodeWriter) -> None:
    sampler = Sampler(ready=4)
    recording = start(sampler, writer)
    recording.set_task("now the blue one", frame(3).stamp_ns)
    recording.tick(0)
    writer.end()
    assert [entry[3] for entry in sink.frames] == [TASK, TASK, "now the blue one", "now the blue one"]
    assert recording.task == "now the blue one"


def test_an_episode_has_a_maximum_length(sink: Sink, writer: EpisodeWriter) -> None:
    sampler = Sampler(ready=100)
    recording = start(sampler, writer, max_length=0.1)
    assert recording.remaining == pytest.approx(0.1)
    assert recording.tick(0)
    writer.end()
    assert (len(sink.frames), recording.failed, recording.remaining) == (3, False, 0.0)
    assert "max_episode_length" in recording.stopped
    assert not recording.tick(0)
    assert not any("ended early" in reason for reason in recording.check(CheckThresholds()).reasons)


def test_a_full_disk_ends_the_episode_with_the_reason(writer: EpisodeWriter) -> None:
    recording = start(Sampler(ready=3), writer)
    recording.stop("only 3 MB are free")
    assert not recording.tick(0)
    check = recording.check(CheckThresholds())
    assert check.reasons == (
        "the episode ended early, at frame 0: only 3 MB are free",
        "no frame was recorded",
    )


def test_the_outcome_carries_the_check_into_the_side_table(writer: EpisodeWriter) -> None:
    recording = start(Sampler(ready=3), writer)
    recording.tick(0)
    outcome = recording.outcome(True, EpisodeCheck(reasons=("too dark",), still_joints=("elbow",), jumps=2))
    assert (outcome.success, outcome.passed, outcome.reasons) == (True, False, ("too dark",))
    assert (outcome.figures["jumps"], outcome.figures["still_joints"], outcome.figures["fps"]) == (
        2,
        ["elbow"],
        30.0,
    )


class HangingSink(Sink):
    """A sink on a disk that hangs in one call, until `go` is set."""

    def __init__(self, hangs_in: str) -> None:
        super().__init__()
        self._hangs_in = hangs_in
        self.go.clear()

    def _called(self, name: str) -> None:
        if name == self._hangs_in:
            self.go.wait(30.0)
        super()._called(name)


STEPS = {
    "begin": (lambda writer: writer.begin(), "opening the episode's files", None),
    "end": (lambda writer: set(writer.end()), "writing the episode's last frames", {"top"}),
    "save": (lambda writer: writer.save(EpisodeOutcome()), "saving the episode", 0),
    "discard": (lambda writer: writer.discard(), "discarding the episode", None),
    "resolve": (lambda writer: writer.resolve_interrupted(keep=True), "recovering the interrupted", 7),
    "finalize": (lambda writer: writer.close(), "closing the dataset", None),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_hangs_is_named_and_the_same_call_goes_on_later(step: str) -> None:
    sink, (call, doing, result) = HangingSink(step), STEPS[step]
    writer = make_writer(sink, patience=0.05)
    for _ in range(2):
        with pytest.raises(DatasetError, match=f"{doing}.* no progress for 0.05 s.*the dataset hangs"):
            call(writer)
    sink.go.set()
    wait_for(lambda: sink.calls == [step], 10.0, "the disk answers")
    assert call(writer) == result
    assert sink.calls == [step], "the work is done once"
    writer.close()


def test_frames_that_hang_are_named_when_the_episode_ends(sink: Sink) -> None:
    writer = make_writer(sink, patience=0.05)
    sink.go.clear()
    writer.begin()
    assert writer.put(frame(1), TASK)
    with pytest.raises(DatasetError, match="writing the episode's last frames has made no progress"):
        writer.end()
    sink.go.set()
    wait_for(lambda: "end" in sink.calls, 10.0, "the disk answers")
    assert set(writer.end()) == {"top"} and sink.calls == ["begin", "add", "end"]
    writer.close()


@pytest.mark.parametrize(("first", "second"), [("save", "discard"), ("discard", "save")])
def test_a_decision_that_hangs_cannot_be_reversed_unnoticed(first: str, second: str) -> None:
    sink = HangingSink(first)
    writer = make_writer(sink, patience=0.05)
    writer.begin()
    for step in (first, second):
        with pytest.raises(DatasetError, match="no progress"):
            STEPS[step][0](writer)
    sink.go.set()
    wait_for(lambda: first in sink.calls, 10.0, "the disk answers")
    with pytest.raises(DatasetError, match="by now, as was asked for first"):
        STEPS[second][0](writer)
    assert STEPS[first][0](writer) == STEPS[first][2]
    assert sink.calls == ["begin", first]
    writer.begin()
    writer.discard()
    writer.close()


def test_a_decision_that_hung_and_failed_leaves_the_choice(sink: Sink) -> None:
    sink = HangingSink("save")
    sink.failures["save"] = DatasetError("disk full")
    writer = make_writer(sink, patience=0.05)
    with pytest.raises(DatasetError, match="no progress"):
        writer.save(EpisodeOutcome())
    sink.go.set()
    wait_for(lambda: "save" in sink.calls, 10.0, "the disk answers")
    writer.discard()
    assert sink.calls == ["save", "discard"]
    writer.close()


def test_slow_work_that_goes_on_is_waited_for(sink: Sink, writer: EpisodeWriter, monkeypatch) -> None:
    """Progress counts, not the whole time: every look ends with another frame written, and no result yet."""
    sink.go.clear()
    may_add, added, looks = threading.Semaphore(0), sink.add_frame, []

    def add_one_per_look(*arguments) -> None:
        may_add.acquire(timeout=30.0)
        sink.go.set()
        added(*arguments)

    def look(job, timeout: float) -> bool:
        looks.append(timeout)
        if len(looks) <= 4:
            may_add.release()
            wait_for(lambda: writer._finished >= len(looks), 10.0, "a frame is written")
            return False
        return job.result.done() or wait_for(job.result.done, 10.0, "the end")

    monkeypatch.setattr(episode_writer, "_is_done", look)
    sink.add_frame = add_one_per_look
    for number in range(4):
        assert writer.put(frame(number), TASK)
    writer.end()
    assert len(sink.frames) == 4 and len(looks) == 5


def test_nothing_waits_for_a_closed_writer(sink: Sink, writer: EpisodeWriter) -> None:
    writer.close()
    for name, (call, _, _) in STEPS.items():
        if name != "finalize":
            with pytest.raises(DatasetError, match="the dataset is closed"):
                call(writer)


def test_a_writer_without_a_thread_closes_the_sink(sink: Sink, monkeypatch) -> None:
    def fail(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError):
        make_writer(sink)
    assert sink.calls == ["finalize"]


def test_an_unexpected_error_at_the_end_is_logged(sink: Sink, capfd) -> None:
    sink.failures["finalize"] = ZeroDivisionError("oops")
    writer = make_writer(sink)
    writer.close()
    assert "ZeroDivisionError: oops" in capfd.readouterr().err
