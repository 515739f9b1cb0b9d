# SPDX-License-Identifier: Apache-2.0
"""An incident folder is read back exactly, and a damaged one is refused."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.incidents import Incident, IncidentRing, Inference, MotionSegment
from dit_policy_ros.core.incidents._incident import MotionCall
from dit_policy_ros.core.motion import Continuation, Plan
from dit_policy_ros.data.incident_folder import read_incident, write_incident, write_observations

RNG = np.random.default_rng(3)


def incident() -> Incident:
    ring = IncidentRing(10.0, lambda: 0)
    for i in range(3):
        images = {name: RNG.integers(0, 256, (2, 6, 8, 3), dtype=np.uint8) for name in ("top", "wrist")}
        stamps = {"top": (i, i + 1), "wrist": (10 + i, 10 + i)}
        state = RNG.normal(size=(2, 3)).astype(np.float32)
        previous = Continuation(np.where(RNG.random((8, 3)) < 0.5, np.nan, 0.1), committed=i) if i else None
        inference = ring.add_inference(
            Inference(100 + i, i, f"task {i}", 2**62 + i, images, stamps, state, previous)
        )
        inference.actions = RNG.normal(size=(5, 3)).astype(np.float32) if i < 2 else None
    plan = Plan(np.array([1, 2]), RNG.normal(size=(2, 3)), np.zeros((2, 3)))
    calls = [MotionCall("hold", ("why", 5), {"measured": None}, plan)]
    return Incident(ring.snapshot().inferences, (MotionSegment(0, pickle.dumps({"a": np.nan}), calls),))


def write(folder: Path, wanted: Incident, **facts: str) -> None:
    """Write both parts, as the two nodes do."""
    observations = folder.parent / "observations_of_the_inference_node"
    write_observations(observations, wanted.inferences, {"parameters": {"device": "cpu", "both": 2}})
    write_incident(
        folder, wanted.segments, {"parameters": {"task": "lift", "both": 1}, **facts}, observations
    )


def as_format_1(folder: Path) -> None:
    """One process wrote everything into one folder."""
    observations = folder / "observations"
    inferences = json.loads((observations / "observations.json").read_text())["inferences"]
    (observations / "observations.json").unlink()
    for each in list(observations.iterdir()):
        each.rename(folder / each.name)
    observations.rmdir()
    rewrite(folder, format=1, inferences=inferences)


@pytest.mark.parametrize("number", [1, 2])
def test_an_incident_is_read_back_exactly(tmp_path, number):
    wanted = incident()
    write(tmp_path / "new" / "one", wanted, reason="because", version="1")
    assert os.listdir(tmp_path / "new") == ["one"]
    if number == 1:
        as_format_1(tmp_path / "new" / "one")
    stored = read_incident(tmp_path / "new" / "one")
    assert stored.facts["reason"] == "because"
    if number == 2:
        assert stored.facts["parameters"] == {"task": "lift", "device": "cpu", "both": 2}
    for expected, got in zip(wanted.inferences, stored.incident.inferences, strict=True):
        assert (got.began_ns, got.stamp_ns, got.task) == (expected.began_ns, expected.stamp_ns, expected.task)
        assert (got.seed, got.image_stamps_ns) == (expected.seed, expected.image_stamps_ns)
        assert got.state.tobytes() == expected.state.tobytes() and got.state.dtype == np.float32
        for name, frames in expected.images.items():
            np.testing.assert_array_equal(got.images[name], frames)
        if expected.previous is None:
            assert got.previous is None
        else:
            assert got.previous.committed == expected.previous.committed
            np.testing.assert_array_equal(got.previous.actions, expected.previous.actions)
        if expected.actions is None:
            assert got.actions is None
        else:
            assert got.actions.tobytes() == expected.actions.tobytes()
    call, expected_call = stored.incident.segments[0].calls[0], wanted.segments[0].calls[0]
    assert (call.arguments, call.options) == (expected_call.arguments, expected_call.options)
    np.testing.assert_array_equal(call.plan.positions, expected_call.plan.positions)


def test_the_images_are_stored_as_png_files(tmp_path):
    write(tmp_path / "one", incident())
    assert {path.name for path in (tmp_path / "one" / "observations" / "images" / "top").iterdir()} == {
        f"{stamp}.png" for stamp in range(4)
    }


def test_a_failed_write_leaves_nothing_and_names_the_path(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(IncidentError, match="file"):
        write_incident(tmp_path / "file" / "one", incident().segments, {})
    with pytest.raises(IncidentError, match="file"):
        write_observations(tmp_path / "file" / "two", incident().inferences, {})
    write_incident(tmp_path / "one", incident().segments, {})
    with pytest.raises(IncidentError):
        write_incident(tmp_path / "one", incident().segments, {})  # it exists already
    assert sorted(os.listdir(tmp_path)) == ["file", "one"]


def test_without_the_inference_nodes_part_the_motion_is_read(tmp_path):
    write_incident(tmp_path / "one", incident().segments, {"parameters": {}, "reason": "it was killed"})
    stored = read_incident(tmp_path / "one")
    assert stored.incident.inferences == () and len(stored.incident.segments) == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "incident.json").unlink(), "is not an incident"),
        (lambda folder: (folder / "incident.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "motion.pickle").unlink(), "damaged"),
        (lambda folder: (folder / "motion.pickle").write_bytes(pickle.dumps([1])), "damaged"),
        (lambda folder: (folder / "motion.pickle").write_bytes(pickle.dumps(os.system)), "is not allowed"),
        (lambda folder: (folder / "observations" / "inferences.npz").write_bytes(b"PK"), "damaged"),
        (
            lambda folder: (folder / "observations" / "images" / "top" / "1.png").write_bytes(b"no image"),
            "1.png",
        ),
        (lambda folder: rewrite(folder, format=99), "format 99"),
        (lambda folder: rewrite(folder, "observations/observations.json", inferences=[{}]), "damaged"),
        (lambda folder: (folder / "observations" / "observations.json").write_text("{"), "damaged"),
    ],
)
def test_a_damaged_folder_is_refused_with_the_reason(tmp_path, damage, message):
    folder = tmp_path / "one"
    write(folder, incident(), version="1")
    damage(folder)
    with pytest.raises(IncidentError, match=message):
        read_incident(folder)


def rewrite(folder, name="incident.json", **changes):
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
