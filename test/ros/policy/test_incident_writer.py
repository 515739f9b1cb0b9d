# SPDX-License-Identifier: Apache-2.0
"""How many incidents are written and kept, and what happens if one cannot be written."""

import contextlib
import math
import shutil
import threading
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from waiting import wait_for

from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.incidents import IncidentRing, Inference
from dit_policy_ros.core.motion import EnsembleMode
from dit_policy_ros.data.incident_folder import read_incident
from dit_policy_ros.ros.inference_link import SavedObservations
from dit_policy_ros.ros.policy import _incident_writer as incident_writer
from dit_policy_ros.ros.policy._incident_writer import IncidentSettings, IncidentSources, IncidentWriter

SECOND = 1_000_000_000
NOTHING = SavedObservations(None, "none: a test")


class Logger:
    def __init__(self):
        self.errors, self.infos = [], []

    def error(self, text):
        self.errors.append(text)

    def info(self, text):
        self.infos.append(text)


@pytest.fixture
def make(tmp_path):
    writers = []

    def build(seconds=10.0, directory=None, facts=MappingProxyType({"version": "1"})):
        clock = SimpleNamespace(ns=0)
        ring = IncidentRing(seconds, lambda: clock.ns)
        images = {"top": np.zeros((1, 4, 4, 3), np.uint8)}
        ring.add_inference(Inference(0, 0, "task", 1, images, {"top": (0,)}, np.zeros((1, 2), np.float32)))
        settings = IncidentSettings(directory or tmp_path / "new", pause=seconds)
        sources = IncidentSources(lambda: facts, lambda _: lambda: NOTHING, lambda: clock.ns)
        writer = IncidentWriter(ring, settings, sources, Logger())
        writers.append(writer)
        return writer, clock

    yield build
    for writer in writers:
        with contextlib.suppress(IncidentError):  # the test has made it hang
            writer.close()


def names(folder, kind):
    return sorted(path.name for path in folder.glob(f"{kind}_*"))


def test_automatic_incidents_are_at_least_the_recorded_time_apart(make, tmp_path):
    writer, clock = make()
    first = writer.capture("stale observation: stream 'top' (top/image_raw)")
    assert first is not None and first.name.endswith("stale-observation-stream-top-top-image-r")
    clock.ns = 9 * SECOND
    assert writer.capture("again") is None
    clock.ns = 10 * SECOND
    assert writer.capture("again") is not None
    wait_for(lambda: writer.written == 2, 10.0, "both are written")
    assert writer.newest.is_dir() and len(names(tmp_path / "new", "incident")) == 2


def test_the_newest_automatic_incidents_and_all_requested_ones_are_kept(make, tmp_path, monkeypatch):
    monkeypatch.setattr(incident_writer, "MAX_AUTOMATIC", 3)
    writer, clock = make()
    requested = writer.save()
    kept = []
    for i in range(5):
        clock.ns = i * 10 * SECOND
        kept.append(writer.capture(f"number {i}"))
        wait_for(lambda count=i + 2: writer.written == count, 10.0, "it is written")
    assert names(tmp_path / "new", "incident") == [folder.name for folder in kept[-3:]]
    assert requested.is_dir()


def test_a_full_disk_is_reported_and_not_written_to(make, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=999_000_000))
    writer, _ = make()
    writer.capture("a hold")
    wait_for(lambda: writer._logger.errors, 10.0, "the error")
    assert "999 MB left" in writer._logger.errors[0] and "incident_directory" in writer._logger.errors[0]
    assert writer.written == 0 and list((tmp_path / "new").iterdir()) == []


@pytest.fixture
def slow_disk(monkeypatch):
    """Writing an incident waits until the event is set."""
    may_write, written = threading.Event(), incident_writer.write_incident

    def write(*arguments):
        may_write.wait(30.0)
        written(*arguments)

    monkeypatch.setattr(incident_writer, "write_incident", write)
    yield may_write
    may_write.set()


def test_the_queue_of_incidents_is_bounded(make, slow_disk):
    writer, _ = make()
    writer.save()
    wait_for(writer._jobs.empty, 10.0, "the thread writes the first one")
    for _ in range(4):
        writer.save()
    with pytest.raises(IncidentError, match="still being written"):
        writer.save()
    assert writer.capture("e-stop", is_latched=True) is None
    assert "an incident is not written (e-stop)" in writer._logger.errors[-1], "it is not lost in silence"
    slow_disk.set()
    wait_for(lambda: writer.written == 5, 10.0, "all that were accepted are written")


@pytest.mark.parametrize(
    "error", [ValueError("Out of range float values"), TypeError("no JSON"), MemoryError()]
)
def test_an_error_of_any_kind_costs_one_incident_and_not_the_thread(make, monkeypatch, error):
    writer, _ = make()
    written = incident_writer.write_incident

    def fail(*_):
        raise error

    monkeypatch.setattr(incident_writer, "write_incident", fail)
    lost = writer.save()
    wait_for(lambda: writer._logger.errors, 10.0, "the error")
    assert str(lost) in writer._logger.errors[0] and type(error).__name__ in writer._logger.errors[0]
    monkeypatch.setattr(incident_writer, "write_incident", written)
    kept = writer.save()
    writer.close()
    assert kept.is_dir() and not lost.exists() and writer.written == 1
    writer.close()
    with pytest.raises(IncidentError, match="cleaned up"):
        writer.save()


def test_figures_that_json_cannot_hold_are_stored_all_the_same(make):
    figures = [math.nan, np.float64(np.nan), np.float32(0.5)]
    facts = {"limit": math.inf, "list": figures, "type": EnsembleMode.NEWEST, "x": {1: {2}}}
    writer, _ = make(facts=facts)
    folder = writer.save()
    writer.close()
    stored = read_incident(folder).facts
    assert (stored["limit"], stored["list"], stored["x"]) == (None, [None, None, 0.5], {"1": [2]})


@pytest.mark.parametrize("waiting", [0, 4])
def test_closing_does_not_wait_for_a_disk_that_hangs(make, monkeypatch, slow_disk, waiting):
    monkeypatch.setattr(incident_writer, "CLOSE_TIMEOUT", 0.2)
    writer, _ = make()
    writer.save()
    wait_for(writer._jobs.empty, 10.0, "the thread writes the first one")
    for _ in range(waiting):
        writer.save()
    with pytest.raises(IncidentError, match="does that disk hang"):
        writer.close()


def test_without_recording_there_is_nothing_to_save(make):
    writer, _ = make(seconds=0.0)
    assert writer.capture("a hold") is None
    with pytest.raises(IncidentError, match="incident_seconds is 0"):
        writer.save()


def test_a_latched_hold_is_always_written(make, tmp_path):
    writer, clock = make()
    assert writer.capture("stale observation") is not None
    clock.ns += round(9.9 * SECOND)
    assert writer.capture("stale observation") is None
    assert writer.capture("tracking error", is_latched=True) is not None
    assert writer.capture("e-stop", is_latched=True) is not None
    clock.ns += SECOND
    assert writer.capture("stale observation") is None, "the latched ones begin a new pause"
    wait_for(lambda: len(names(tmp_path / "new", "incident")) == 3, 10.0, "three incidents")
