# SPDX-License-Identifier: Apache-2.0
"""No call to the recorder's writer waits for ever, and none is done twice."""

import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from episode_sink import TASK, Sink, frame, make_writer
from waiting import wait_for

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.recording import EpisodeOutcome
from dit_policy_ros.ros.recorder import _episode_writer as episode_writer
from dit_policy_ros.ros.recorder._episode_writer import EpisodeWriter


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def writer(sink: Sink):
    writer = make_writer(sink)
    yield writer
    sink.go.set()
    writer.close()


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
    "end": (lambda writer: set(writer.end().cameras), "writing the episode's last frames", {"top"}),
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
    assert set(writer.end().cameras) == {"top"} and sink.calls == ["begin", "add", "end"]
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


def test_what_waits_for_the_encoders_is_counted(sink: Sink, writer: EpisodeWriter) -> None:
    writer.begin()
    assert writer.queued == 0
    sink.go.clear()  # the encoders do not keep up
    assert all(writer.put(frame(number), TASK) for number in range(1, 4))
    wait_for(lambda: writer.queued == 2, 10.0, "one is being written, two wait")
    sink.queued_images = 5
    assert writer.queued == 7
    sink.go.set()
    sink.queued_images = 0
    wait_for(lambda: writer.queued == 0, 10.0, "all are written")
