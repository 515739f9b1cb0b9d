# SPDX-License-Identifier: Apache-2.0
"""Episodes and incidents in Rerun: what is logged, a real file, and the remedy where Rerun is missing."""

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
from contracts import SMALL_CONTRACT
from episodes import SPEC, add, frame, make
from motion_helpers import ensemble_settings

from dit_policy_ros.cli.viewing import view
from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.incidents import IncidentRing, Inference, RecordedPipeline
from dit_policy_ros.core.motion import Chunk, MotionSettings
from dit_policy_ros.data.dataset import episode_rows, plot_episodes, read_episode
from dit_policy_ros.data.incident_folder import StoredIncident
from dit_policy_ros.data.recording import EpisodeOutcome
from dit_policy_ros.evaluation.replay import joint_traces, plot_motion
from dit_policy_ros.evaluation.view import Recording, log_episode, log_incident

SECOND = 1_000_000_000


class Sent:
    """Stands for Rerun and its stream; keeps what is shown."""

    def __init__(self) -> None:
        self.curves: dict[str, tuple[list[float], list[float]]] = {}
        self.logged: list[tuple[str, float | None, object]] = []
        self._time: float | None = None
        self.Scalars = SimpleNamespace(columns=lambda scalars: scalars)

    def TimeColumn(self, _, duration):
        return duration

    def Image(self, image):
        return SimpleNamespace(compress=lambda jpeg_quality: image)

    def DepthImage(self, image, meter):
        return image / meter

    def TextLog(self, text):
        return text

    def TextDocument(self, text, media_type):
        return text

    def set_time(self, _, duration):
        self._time = duration

    def log(self, entity, value, static=False):
        self.logged.append((entity, None if static else self._time, value))

    def send_columns(self, entity, times, values):
        seconds, former = self.curves.setdefault(entity, ([], []))
        seconds += list(times[0])
        former += list(values)

    def of(self, entity):
        return [(when, value) for name, when, value in self.logged if name == entity]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "data"
    writer = make(root)
    add(writer, 0, 3)
    writer.save_episode()
    add(writer, 1, 4, "push")
    writer.add_frame(**frame(1, 3), task="push", repeated=("wrist",))
    writer.save_episode(EpisodeOutcome(False, False, ("it shook",)))
    writer.finalize()
    return root


def test_an_episode_is_shown_whole(recorded) -> None:
    sent, counts = Sent(), []
    log_episode(Recording(sent, sent), read_episode(recorded, 1), counts.append)
    seconds, values = sent.curves["state/b"]
    assert values == [0.0, 1.0, 2.0, 3.0, 3.0] and seconds == pytest.approx(np.arange(5) / 30)
    assert sent.curves["action/b"][1] == [0.25, 1.25, 2.25, 3.25, 3.25]
    assert sent.curves["repeated/wrist"][1] == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert sent.of("task") == [(0.0, "push")]
    images = sent.of("camera/top")
    assert len(images) == 5 and images[2][0] == pytest.approx(2 / 30)
    assert np.asarray(images[0][1]).mean() < np.asarray(images[3][1]).mean() - 6, "each has its own picture"
    ((_, text),) = sent.of("check")
    assert "FAILED" in text and "it shook" in text and "label: failure" in text
    assert counts == [1, 2, 3, 4, 5]


def test_distances_are_shown_in_their_unit(tmp_path) -> None:
    near = Camera("near", "/near", 17, 19, 0.2, depth_unit="mm")
    far = Camera("far", "/far", 16, 18, 0.2, depth_unit="m")
    writer = make(tmp_path / "data", dataclasses.replace(SPEC, cameras=(near, far)))
    images = {"near": np.full((17, 19, 1), 1500, np.uint16), "far": np.full((16, 18, 1), 2.5, np.float32)}
    for index in range(2):
        writer.add_frame(**(frame(0, index) | {"images": images}), task="push")
    writer.save_episode()
    writer.finalize()
    sent = Sent()
    log_episode(Recording(sent, sent), read_episode(tmp_path / "data", 0))
    for name, metres, size in (("near", 1.5, (17, 19)), ("far", 2.5, (16, 18))):
        shown = np.asarray(sent.of(f"camera/{name}")[1][1])
        assert shown.shape == size
        np.testing.assert_allclose(shown, metres, rtol=1e-6)
    plot_episodes(tmp_path / "data", episode_rows(tmp_path / "data"), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 0


def test_who_drove_is_shown_if_the_dataset_says_it(recorded) -> None:
    sent, episode = Sent(), read_episode(recorded, 0)
    assert episode.drivers == {}
    drivers = {
        "intervention": np.array([False, True, True]),
        "controller": np.array(["policy", "human", "human"]),
    }
    log_episode(Recording(sent, sent), dataclasses.replace(episode, drivers=drivers))
    assert sent.curves["intervention"][1] == [0.0, 1.0, 1.0]
    assert [text for _, text in sent.of("controller")] == ["policy", "human"]


@pytest.fixture
def stored(tmp_path) -> StoredIncident:
    """Chunks, a HOLD in the middle, and two observations that share a frame."""
    joints = len(SMALL_CONTRACT.joints)
    ring, clock = IncidentRing(10.0, lambda: clock.now_ns), SimpleNamespace(now_ns=0)
    settings = MotionSettings(
        ensemble=ensemble_settings(joints), plan_horizon=0.6, fade_knots=5, soft_start=0.2,
        max_tracking_error=np.full(joints, np.inf),
    )  # fmt: skip
    pipeline = RecordedPipeline(
        SMALL_CONTRACT.joints, SMALL_CONTRACT.limits, SMALL_CONTRACT.dt_ns, settings, ring
    )
    pose = np.array([0.0, 0.02, 0.0])
    pipeline.start(pose, SECOND)
    for number in range(5):
        now_ns = SECOND + number * SECOND // 10
        clock.now_ns = now_ns
        actions = np.tile(pose, (31, 1)) + np.linspace(0.0, 0.1, 31)[:, None] * np.array([1.0, 0.0, 0.0])
        stamps = (now_ns - SECOND // 10, now_ns)
        images = np.full((2, 8, 8, 3), number, np.uint8)
        state = np.tile(pose, (2, 1)).astype(np.float32)
        ring.add_inference(
            Inference(now_ns, now_ns, "push", 0, {"top": images}, {"top": stamps}, state, actions=actions)
        )
        pipeline.add_chunk(Chunk(now_ns, SMALL_CONTRACT.dt_ns, actions), now_ns)
    pipeline.hold("camera top is stale", now_ns + SECOND // 20, pose)
    facts = {
        "reason": "camera top is stale", "written": "2026-11-29", "joints": list(SMALL_CONTRACT.joints),
        "events": [{"time": "12:00", "kind": "hold", "text": "camera top is stale"}],
    }  # fmt: skip
    return StoredIncident(tmp_path, facts, ring.snapshot())


def test_an_incident_is_shown_with_chunks_limits_and_the_hold(stored) -> None:
    sent = Sent()
    log_incident(Recording(sent, sent), stored)
    joint = SMALL_CONTRACT.joints[0]
    lanes = [name for name in sent.curves if name.startswith(f"joints/{joint}/chunks/")]
    assert len(lanes) == 5
    assert sent.curves[f"joints/{joint}/chunks/0"][1][:-1] == pytest.approx(np.linspace(0.0, 0.1, 31))
    assert len(sent.curves[f"joints/{joint}/measured"][1]) == 6, "five observations, and the HOLD"
    commanded = sent.curves[f"joints/{joint}/commanded"]
    assert len(commanded[0]) == len(commanded[1]) > 50 and np.all(np.diff(commanded[0]) > 0.0)
    limit = float(SMALL_CONTRACT.limits.position_max[0])
    assert sent.curves[f"joints/{joint}/limit_max"][1] == [limit, limit]
    ((when, reason),) = sent.of("holds")
    assert reason == "camera top is stale" and 0.3 < when < 0.8
    assert len(sent.of("camera/top")) == 6, "a frame that two observations share is shown once"


def test_replay_draws_the_hold(stored, tmp_path) -> None:
    traces = joint_traces(stored)
    assert [reason for _, reason in traces.holds] == ["camera top is stale"]
    for suffix in ("png", "svg"):
        target = tmp_path / f"hold.{suffix}"
        plot_motion(traces, "an incident", target)
        assert target.stat().st_size > 5000
    drawn = (tmp_path / "hold.svg").read_text()
    for text in ("HOLD: camera top is stale", "commanded", "measured", "chunks", "limit"):
        assert f"<!-- {text}" in drawn, text


def test_without_rerun_the_remedy_is_one_line(recorded, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert view.main([str(recorded)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install" in line and ".[view]" in line


@pytest.mark.parametrize(("episode", "code"), [("2", 1), ("-1", 2), ("x", 2)])
def test_an_episode_that_does_not_exist_is_refused(recorded, tmp_path, episode, code, capsys) -> None:
    try:
        ended = view.main([str(recorded), "--episode", episode, "--output", str(tmp_path / "x.rrd")])
    except SystemExit as error:
        ended = error.code
    assert ended == code and "episode" in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec("rerun") is None, reason="rerun is not installed: pip install '.[view]'"
)
def test_a_real_file_is_written_and_read_back(recorded, tmp_path) -> None:
    import rerun

    file = tmp_path / "episode.rrd"
    assert view.main([str(recorded), "--episode", "1", "--output", str(file)]) == 0
    entities = {
        column.entity_path for column in rerun.dataframe.load_recording(file).schema().component_columns()
    }
    assert {"/camera/top", "/camera/wrist", "/state/a", "/action/c", "/check", "/task"} <= entities
