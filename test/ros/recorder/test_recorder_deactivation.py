# SPDX-License-Identifier: Apache-2.0
"""Deactivation at every moment of starting and ending an episode.

A call is stopped before or after each step that it takes. The node is deactivated meanwhile, and the call
goes on. Whatever the moment: deactivation succeeds, nothing is recorded while inactive, and no episode is
lost.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from recording_session import TASK, Session
from std_srvs.srv import Trigger
from waiting import wait_for

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.ros.recorder import recorder_node
from dit_policy_ros.ros.recorder._episode import Recording
from dit_policy_ros.ros.recorder._episode_writer import EpisodeWriter
from dit_policy_ros.ros.recorder._streams import RecorderStreams
from dit_policy_ros.srv import StartEpisode, StopEpisode

TIMEOUT = 30.0  # [s]


@dataclass
class Pause:
    """The first thread that comes here waits until `go`; later ones pass."""

    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.go.wait(TIMEOUT)


def pause_at(monkeypatch, owner: Any, name: str, when: str) -> Pause:
    """Pause the first thread that calls `owner.name`, before or after the call."""
    pause, called = Pause(), getattr(owner, name)

    def wrapped(*arguments, **options):
        if when == "before":
            pause()
        try:
            return called(*arguments, **options)
        finally:
            if when == "after":
                pause()

    monkeypatch.setattr(owner, name, wrapped)
    return pause


class InThread:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.results: list[Any] = []
        self._thread = threading.Thread(target=lambda: self.results.append(call()))
        self._thread.start()

    def result(self) -> Any:
        self._thread.join(TIMEOUT)
        assert self.results, "the call has not returned"
        return self.results[0]


def begin(session: Session) -> StartEpisode.Response:
    return session.node._on_start(StartEpisode.Request(task=TASK), StartEpisode.Response())


def end(session: Session, save: bool = True) -> StopEpisode.Response:
    return session.node._on_stop(StopEpisode.Request(save=save, success_label=True), StopEpisode.Response())


def rerecord(session: Session) -> Trigger.Response:
    return session.node._on_rerecord(Trigger.Request(), Trigger.Response())


def deactivate_during(session: Session, pause: Pause, call: Callable[[Session], Any]) -> Any:
    """Run the call up to the pause, begin to deactivate, let both go on. Returns the call's answer."""
    called = InThread(lambda: call(session))
    assert pause.reached.wait(TIMEOUT), "the call does not come to the pause"
    deactivated = InThread(session.node.trigger_deactivate)
    wait_for(lambda: not session.node.is_working, TIMEOUT, "the deactivation begins")
    pause.go.set()
    answer = called.result()
    assert deactivated.result().name == "SUCCESS"
    assert_idle(session)
    return answer


def assert_idle(session: Session) -> None:
    node, configured = session.node, session.node._state.configured
    assert node.lifecycle_state == "inactive" and not node.is_working
    assert node._state.recording is None and configured.sample_timer.is_canceled()
    assert configured.sink.episode_bytes == 0, "no journal is left"
    refused = begin(session)
    assert not refused.success and "is inactive" in refused.message


def frames_recorded(session: Session, count: int) -> None:
    session.wait_for_status(lambda status: status.frames >= count, f"{count} frames")


START_STEPS = [
    (recorder_node, "start_problems", "before"),
    (RecorderStreams, "problems", "before"),
    (EpisodeWriter, "begin", "before"),
    (EpisodeWriter, "begin", "after"),
    (recorder_node, "EpisodeSampler", "before"),
    (recorder_node, "EpisodeSampler", "after"),
    (recorder_node, "Recording", "before"),
]


@pytest.mark.parametrize(("owner", "name", "when"), START_STEPS)
def test_an_episode_that_is_being_started_is_given_up(start_session, monkeypatch, owner, name, when) -> None:
    session = start_session()
    session.ready()
    answer = deactivate_during(session, pause_at(monkeypatch, owner, name, when), begin)
    # After its last look at the state, the start goes through; deactivation then ends what has begun.
    begins = owner is recorder_node and name in ("EpisodeSampler", "Recording")
    assert answer.success if begins else "is inactive" in answer.message


def test_a_start_that_waits_for_streams_ends_at_once(start_session, monkeypatch) -> None:
    session = start_session(silent={"top"})
    monkeypatch.setattr(recorder_node, "_GRACE", 3600.0)
    answer = deactivate_during(session, pause_at(monkeypatch, RecorderStreams, "problems", "after"), begin)
    assert not answer.success and "is inactive" in answer.message


STOP_STEPS = [
    (Recording, "end", "before"),
    (EpisodeWriter, "end", "before"),
    (EpisodeWriter, "end", "after"),
    (Recording, "check", "after"),
    (EpisodeWriter, "save", "before"),
    (EpisodeWriter, "save", "after"),
    (Recording, "report", "after"),
]


@pytest.mark.parametrize(("owner", "name", "when"), STOP_STEPS)
def test_an_episode_that_is_being_saved_is_kept_once(
    start_session, monkeypatch, tmp_path, owner, name, when
) -> None:
    session = start_session()
    session.ready()
    assert begin(session).success
    frames_recorded(session, 5)
    answer = deactivate_during(session, pause_at(monkeypatch, owner, name, when), end)
    assert answer.success and answer.report.episode_index == 0, answer.message
    session.node.shut_down()
    records = read_records(tmp_path / "dataset")
    assert [record.success for record in records.values()] == [True]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_episode_that_is_being_discarded_stays_discarded(
    start_session, monkeypatch, tmp_path, when
) -> None:
    session = start_session()
    session.ready()
    assert begin(session).success
    frames_recorded(session, 5)
    pause = pause_at(monkeypatch, EpisodeWriter, "discard", when)
    assert deactivate_during(session, pause, lambda session: end(session, save=False)).success
    session.node.shut_down()
    assert not (tmp_path / "dataset" / "meta").exists()


@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [(EpisodeWriter, "discard", "before"), (recorder_node.RecorderNode, "_on_start", "before")],
)
def test_recording_again_ends_with_the_deactivation(
    start_session, monkeypatch, tmp_path, owner, name, when
) -> None:
    session = start_session()
    session.ready()
    assert begin(session).success
    frames_recorded(session, 5)
    answer = deactivate_during(session, pause_at(monkeypatch, owner, name, when), rerecord)
    assert not answer.success and "is inactive" in answer.message


@pytest.mark.parametrize("frames", [0, 1])
def test_an_episode_that_has_hardly_begun_does_not_prevent_deactivation(
    start_session, monkeypatch, capfd, frames
) -> None:
    session = start_session()
    session.ready()
    polled, taken = recorder_node.EpisodeSampler.poll, []

    def poll(sampler, now_ns):
        frame = polled(sampler, now_ns) if len(taken) < frames else None
        taken.extend([] if frame is None else [frame])
        return frame

    monkeypatch.setattr(recorder_node.EpisodeSampler, "poll", poll)
    assert begin(session).success
    wait_for(lambda: len(taken) >= frames, TIMEOUT, "the frames")
    assert session.node.trigger_deactivate().name == "SUCCESS"
    assert_idle(session)
    assert "discarded, because it has hardly begun" in capfd.readouterr().err


def test_what_cannot_be_saved_keeps_the_node_active(start_session, monkeypatch, tmp_path) -> None:
    session = start_session()
    session.ready()
    assert begin(session).success
    frames_recorded(session, 5)

    def fail(*_):
        raise DatasetError("disk full")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(EpisodeWriter, "save", fail)
        assert session.node.trigger_deactivate().name == "FAILURE"
    assert session.node.lifecycle_state == "active" and session.node._state.recording is not None
    frames = session.node._state.recording.sampler.frames
    session.wait_for_status(lambda status: status.frames == frames, "no frame is added")
    assert session.node.trigger_deactivate().name == "SUCCESS"
    assert_idle(session)
    session.node.shut_down()
    assert len(read_records(tmp_path / "dataset")) == 1


def test_no_call_waits_for_ever_for_another_one(start_session, monkeypatch) -> None:
    session = start_session()
    session.ready()
    monkeypatch.setattr(recorder_node, "_TURN_TIMEOUT", 0.05)
    pause = pause_at(monkeypatch, EpisodeWriter, "begin", "before")
    called = InThread(lambda: begin(session))
    assert pause.reached.wait(TIMEOUT)
    for answer in (InThread(lambda: begin(session)).result(), InThread(lambda: end(session)).result()):
        assert not answer.success and "another call has been beginning or ending" in answer.message
    assert session.node.trigger_deactivate().name == "FAILURE"
    pause.go.set()
    assert called.result().success
    monkeypatch.setattr(recorder_node, "_TURN_TIMEOUT", TIMEOUT)
    assert session.node.trigger_deactivate().name == "SUCCESS"
    assert_idle(session)
