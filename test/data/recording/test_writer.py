# SPDX-License-Identifier: Apache-2.0
"""LeRobot's loader reads what was saved, and never what was discarded."""

import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")

from episodes import CAMERAS, JOINTS, SPEC, add, assert_holds, frame, load, make

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import INFO_FILE
from dit_policy_ros.data.recording import pending_episodes


def test_lerobot_reads_every_frame_of_saved_episodes(tmp_path) -> None:
    root = tmp_path / "new" / "dataset"
    writer = make(root)
    add(writer, 0, 6, "touch the red cube")
    assert writer.save_episode() == 0
    add(writer, 1, 4, "touch the blue cube")
    assert writer.next_index == 1
    assert writer.save_episode() == 1
    writer.finalize()
    writer.finalize()
    assert_holds(root, {0: (6, "touch the red cube"), 1: (4, "touch the blue cube")})
    dataset = load(root)
    assert dataset.fps == 30
    assert dataset.meta.robot_type == "toy"
    assert dataset.features["action"]["names"] == list(JOINTS)
    assert {"min", "max", "mean", "std"} <= set(dataset.meta.stats["observation.images.top"])
    assert dataset.meta.stats["action"]["max"][1] == pytest.approx(5.25)


def test_a_discarded_episode_leaves_nothing(tmp_path) -> None:
    root = tmp_path / "dataset"
    writer = make(root)
    add(writer, 3, 9, "never mind")
    writer.discard_episode()
    add(writer, 0, 3)
    writer.save_episode()
    add(writer, 3, 5, "never mind")
    writer.discard_episode()
    writer.finalize()
    assert_holds(root, {0: (3, "touch the cube")})
    assert load(root).meta.tasks.index.tolist() == ["touch the cube"]
    assert {path.name for path in root.iterdir()} == {"data", "meta", "videos"}


def test_a_dataset_can_be_extended(tmp_path) -> None:
    for episode in range(2):
        writer = make(tmp_path / "dataset")
        assert writer.next_index == episode
        add(writer, episode, 3)
        assert writer.save_episode() == episode
        writer.finalize()
    assert_holds(tmp_path / "dataset", {0: (3, "touch the cube"), 1: (3, "touch the cube")})


def test_an_empty_folder_and_a_dataset_without_episodes_are_accepted(tmp_path) -> None:
    root = tmp_path / "dataset"
    root.mkdir()
    writer = make(root)
    writer.begin_episode()
    add(writer, 2, 3)
    writer.discard_episode()
    writer.finalize()
    writer = make(root)
    add(writer, 0, 3)
    assert writer.save_episode() == 0
    writer.finalize()
    assert_holds(root, {0: (3, "touch the cube")})


def test_an_encoder_slower_than_the_camera_loses_no_frame(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("dit_policy_ros.data.video._camera_encoder.QUEUE_SIZE", 1)
    writer = make(tmp_path / "dataset")
    add(writer, 0, 50)
    writer.save_episode()
    writer.finalize()
    assert_holds(tmp_path / "dataset", {0: (50, "touch the cube")})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "dataset"
    writer = make(root)
    add(writer, 0, 3)
    writer.save_episode()
    writer.finalize()
    return root


@pytest.fixture
def copy(recorded: Path, tmp_path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "dataset"))


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"fps": 15.0}, ["fps: expected 15 Hz as in the contract, got 30 Hz"]),
        ({"robot_type": "other"}, ["robot_type: expected 'other' as in the contract, got 'toy'"]),
        ({"joints": ("a", "c", "b")}, ["action names", "['a', 'c', 'b']", "observation.state names"]),
        ({"joints": ("a", "b")}, ["action shape: expected [2] as in the contract, got [3]"]),
        ({"cameras": CAMERAS[:1]}, ["observation.images.wrist: the dataset has it, the contract does not"]),
        (
            {"cameras": (*CAMERAS, Camera("belly", "/belly", 48, 64, 0.2))},
            ["observation.images.belly: the contract has it, the dataset does not"],
        ),
        (
            {"cameras": (Camera("top", "/top", 96, 64, 0.2), CAMERAS[1])},
            ["observation.images.top shape: expected [96, 64, 3] as in the contract, got [48, 64, 3]"],
        ),
    ],
)
def test_a_dataset_of_another_contract_is_refused_with_all_differences(
    recorded: Path, changes: dict, fragments: list[str]
) -> None:
    with pytest.raises(DatasetError) as caught:
        make(recorded, replace(SPEC, **changes))
    for fragment in [str(recorded), "another contract", *fragments]:
        assert fragment in str(caught.value)


def edit_info(root: Path, **changes) -> None:
    info = json.loads((root / INFO_FILE).read_text())
    info.update(changes)
    (root / INFO_FILE).write_text(json.dumps(info))


DAMAGES = {
    "info.json is not JSON": (lambda root: (root / INFO_FILE).write_text("{"), "info.json is damaged"),
    "info.json is not an object": (lambda root: (root / INFO_FILE).write_text("[]"), "info.json is damaged"),
    "info.json lacks fields": (
        lambda root: (root / INFO_FILE).write_text('{"codebase_version": "v3.0"}'),
        "lacks features, fps, total_episodes, total_frames",
    ),
    "old version": (lambda root: edit_info(root, codebase_version="v2.1"), "version v2.1, expected v3"),
    "cut table": (
        lambda root: next((root / "data").glob("*/*.parquet")).write_bytes(b"PAR1"),
        "file-000.parquet is damaged or missing",
    ),
    "missing table": (
        lambda root: next((root / "data").glob("*/*.parquet")).unlink(),
        "info.json says 3 rows, the tables have 0",
    ),
    "missing tasks": (
        lambda root: (root / "meta" / "tasks.parquet").unlink(),
        "tasks.parquet is damaged or missing",
    ),
    "missing info.json": (lambda root: (root / INFO_FILE).unlink(), "not empty and not a LeRobot dataset"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_dataset_is_refused_and_not_changed(copy: Path, damage: str) -> None:
    spoil, message = DAMAGES[damage]
    spoil(copy)
    before = sorted(path for path in copy.rglob("*"))
    with pytest.raises(DatasetError, match=message):
        make(copy)
    assert sorted(path for path in copy.rglob("*")) == before


def test_a_file_instead_of_a_folder_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is a file; give a folder"):
        make(tmp_path / "file")
    with pytest.raises(DatasetError, match=r"cannot be created: .*file is a file"):
        make(tmp_path / "file" / "dataset")


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch) -> None:
    # The tests may run as root, who can write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DatasetError, match=f"no permission to write in {tmp_path}"):
        make(tmp_path / "dataset")


def test_a_frame_rate_that_is_not_a_whole_number_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"whole number of frames per second, got 29.97 Hz; change it"):
        replace(SPEC, fps=29.97)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"task": "  "}, DatasetError, "expected an instruction"),
        (
            {"action": np.array([0.0, np.nan, 0.0])},
            DatasetError,
            "action: expected finite values, got b = nan",
        ),
        ({"state": np.array([np.inf, 0.0, 0.0])}, DatasetError, "observation.state: .* a = inf"),
        ({"state": np.zeros(4)}, ValueError, r"expected shape \(3,\), got \(4,\)"),
        ({"images": {}}, ValueError, "cameras: expected top, wrist, got"),
        (
            {"images": {"top": np.zeros((48, 64, 3)), "wrist": np.zeros((32, 48, 3), np.uint8)}},
            ValueError,
            "top: expected uint8",
        ),
    ],
)
def test_frames_that_would_spoil_the_dataset_are_refused(
    tmp_path, change: dict, error: type, message: str
) -> None:
    writer = make(tmp_path / "dataset")
    with pytest.raises(error, match=message):
        writer.add_frame(**({**frame(0, 0), "task": "touch"} | change))
    assert not pending_episodes(tmp_path / "dataset")


@pytest.mark.parametrize(("height", "width"), [(45, 60), (48, 63), (45, 63)])
def test_a_camera_size_that_cannot_be_encoded_is_refused_before_anything_is_recorded(
    tmp_path, height: int, width: int
) -> None:
    spec = replace(SPEC, cameras=(CAMERAS[0], Camera("odd", "/odd", height, width, 0.2)))
    with pytest.raises(
        DatasetError, match=rf"camera odd \({width}x{height}\).*cameras.odd.width.*even"
    ) as caught:
        make(tmp_path / "dataset", spec)
    assert "camera top" not in str(caught.value)
    assert not (tmp_path / "dataset").exists()


def test_an_episode_needs_frames(tmp_path) -> None:
    writer = make(tmp_path / "dataset")
    with pytest.raises(DatasetError, match="at least 2 frames, this one has 0"):
        writer.save_episode()
    add(writer, 0, 1)
    with pytest.raises(DatasetError, match="this one has 1"):
        writer.save_episode()
    writer.add_frame(**frame(0, 1), task="touch the cube")
    writer.save_episode()
    assert_holds(tmp_path / "dataset", {0: (2, "touch the cube")})


def test_the_logging_of_the_caller_does_not_change(tmp_path, capfd) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("lerobot").level)
    writer = make(tmp_path / "dataset")
    add(writer, 0, 3)
    writer.save_episode()
    writer.finalize()
    assert (root.level, list(root.handlers), logging.getLogger("lerobot").level) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"repeated": ("tpo",)}, ValueError),
        ({"task": "touch \udc80"}, DatasetError),
        ({"stamp_ns": 1 << 70}, Exception),
    ],
)
def test_a_frame_that_is_refused_leaves_no_image_behind(tmp_path, wrong, error) -> None:
    root = tmp_path / "dataset"
    writer = make(root)
    add(writer, 0, 3)
    with pytest.raises(error):
        writer.add_frame(**(frame(0, 9) | {"task": "touch the cube"} | wrong))
    try:
        writer.add_frame(**frame(0, 3), task="touch the cube")
        frames = 4
    except DatasetError:  # what was queued cannot be taken back, so the episode ends
        frames = 3
    writer.save_episode()
    writer.finalize()
    assert_holds(root, {0: (frames, "touch the cube")})
