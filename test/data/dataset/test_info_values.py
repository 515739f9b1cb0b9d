# SPDX-License-Identifier: Apache-2.0
"""A value in info.json that a commit could not use is refused at configure, whoever wrote it."""

import json
from pathlib import Path
from typing import Any

import pytest
from contracts import SMALL_CONTRACT

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import DatasetSpec, check_compatible
from dit_policy_ros.data.description import describe_info, inspect_folder

SPEC = DatasetSpec.from_contract(SMALL_CONTRACT)
GOOD: dict[str, Any] = {
    "codebase_version": "v3.0",
    "fps": 30,
    "features": json.loads(json.dumps(SPEC.features())),
    "total_episodes": 0,
    "total_frames": 0,
    "total_tasks": 0,
    "robot_type": "small",
    "chunks_size": 1000,
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
MISSING = object()


def opened(folder: Path, **changes: Any) -> dict[str, Any]:
    """What the recorder reads at configure of a dataset with these values."""
    info = {name: value for name, value in (GOOD | changes).items() if value is not MISSING}
    (folder / "meta").mkdir()
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    read = inspect_folder(folder)
    assert read is not None
    check_compatible(folder, read, SPEC)
    return read


@pytest.mark.parametrize("change", [{}, {"fps": 30.0}, {"chunks_size": 1000.0}, {"splits": None}])
def test_what_lerobot_and_its_conversions_write_is_accepted(tmp_path: Path, change: dict[str, Any]) -> None:
    opened(tmp_path, **change)


def test_whole_numbers_are_whole_numbers_afterwards(tmp_path: Path) -> None:
    read = opened(tmp_path, total_episodes=0.0, total_frames=0.0)
    assert isinstance(read["total_episodes"], int) and isinstance(read["total_frames"], int)


@pytest.mark.parametrize("value", ["30", True, None, float("nan"), 29.97, 0, -30, [30]])
def test_a_rate_must_be_the_contracts(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DatasetError, match="fps: expected 30 Hz as in the contract"):
        opened(tmp_path, fps=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("total_episodes", value) for value in ("0", None, 0.5, -1, True, float("inf"), [])),
        *(("total_frames", value) for value in ("0", None, -1)),
        *(("total_tasks", value) for value in ("0", None, -1, MISSING)),
        *(("chunks_size", value) for value in ("1000", 0, None, 0.5, MISSING)),
        *(("data_path", value) for value in (None, 5, "data/{episode_index}.parquet", MISSING)),
        *(("video_path", value) for value in (None, "videos/{video_key}.mp4", MISSING)),
        *(("features", value) for value in ([], None, "text", 7)),
        *(("video_path", value) for value in (5, ["videos"])),
    ],
)
def test_a_value_that_a_commit_cannot_use_is_named(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(DatasetError, match=f"{name}: expected "):
        opened(tmp_path, **{name: value})


FEATURES_THAT_ARE_NONE = [
    "text",
    None,
    3,
    {},
    {"dtype": 5},
    *({"dtype": "float32", "shape": shape} for shape in ("3", [-3], [True], [3.0], ["3"], None, {})),
    *({"dtype": "video", "shape": [4, 4, 3], "info": info} for info in ([1], "x", 5)),
]


@pytest.mark.parametrize("value", FEATURES_THAT_ARE_NONE)
def test_a_feature_that_is_no_feature_is_named(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DatasetError, match=r"features\.action.*: expected "):
        opened(tmp_path, features=GOOD["features"] | {"action": value})


@pytest.mark.parametrize("mark", ["info", "video_info"])
def test_marks_of_a_camera_that_are_no_group_are_no_traceback(tmp_path: Path, mark: str) -> None:
    camera = {"dtype": "video", "shape": [48, 64, 3], "names": None, mark: "text"}
    info = GOOD | {"features": GOOD["features"] | {"observation.images.top": camera}}
    assert [each.problem for each in describe_info(tmp_path, info).cameras if each.name == "top"] == [""]
