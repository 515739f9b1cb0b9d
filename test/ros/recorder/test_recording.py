# SPDX-License-Identifier: Apache-2.0
"""Errors between sampling and disk end the episode with a reason, and never the writer's thread."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from episode_sink import TASK, Sampler, Sink, frame, make_writer, start
from rclpy.logging import get_logger
from waiting import wait_for

from dit_policy_ros.core.errors import DatasetError, StreamError
from dit_policy_ros.core.recording import CheckThresholds, EpisodeCheck
from dit_policy_ros.data.recording import CameraHealth, EndedEpisode, EpisodeOutcome
from dit_policy_ros.ros.recorder._episode import log_stop
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
    recording.ended = EndedEpisode(3, {"top": CameraHealth(3, 1, 2, 5)})
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


def test_frames_that_a_failed_encoder_lost_are_not_reported_as_saved(writer: EpisodeWriter) -> None:
    recording = start(Sampler(ready=3), writer)
    writer.begin()
    recording.end(0)
    recording.ended = EndedEpisode(2, writer.end().cameras, "camera top: no space left")
    check = recording.check(CheckThresholds())
    assert "ended early, at frame 2: camera top: no space left" in check.reasons[0]
    assert recording.report(0, True, check).frames == 2


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


def test_a_limit_of_less_than_a_frame_is_a_limit(writer: EpisodeWriter) -> None:
    recording = start(Sampler(ready=100), writer, max_length=0.001)
    assert recording.tick(0) and recording.stopped is not None
    assert "max_episode_length" in recording.stopped


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


def test_an_episode_that_is_full_and_one_that_fails_are_both_logged() -> None:
    logger = get_logger("test")
    for failed in (False, True, False):  # one source line may not log with two severities
        log_stop(logger, SimpleNamespace(stopped="it is full", failed=failed))
