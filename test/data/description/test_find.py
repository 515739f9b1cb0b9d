# SPDX-License-Identifier: Apache-2.0
"""A dataset is found by path or by hub id; what cannot be read is answered with the command that helps."""

import json
import os
from pathlib import Path

import huggingface_hub
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
import lerobot.utils.constants
from dataset_shapes import write_shape

from dit_policy_ros.cli import inspect, train
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.data.description import describe_dataset, find_dataset


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """LeRobot's folder for datasets; the hub cannot be reached."""
    monkeypatch.setattr(lerobot.utils.constants, "HF_LEROBOT_HOME", tmp_path / "home")
    monkeypatch.setattr(lerobot.utils.constants, "HF_LEROBOT_HUB_CACHE", tmp_path / "home" / "hub")

    def unreachable(*args: object, **options: object) -> None:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr("lerobot.datasets.utils.get_safe_version", unreachable)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_folder_counts_more_than_an_id(home: Path) -> None:
    write_shape(home / "owner" / "set", "usual")
    assert find_dataset("owner/set") == home / "owner" / "set"
    assert find_dataset(home / "owner" / "set") == home / "owner" / "set"
    (Path.cwd() / "owner" / "set").mkdir(parents=True)
    assert find_dataset("owner/set") == Path.cwd() / "owner" / "set"
    assert find_dataset("somewhere") == Path.cwd() / "somewhere", "whoever reads it says that it is not there"


def test_an_id_that_is_not_here_is_answered_with_the_command_that_brings_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = "hf download lerobot/pusht --repo-type dataset --revision v3.0 --local-dir FOLDER"
    with pytest.raises(DatasetError, match="no route to the hub") as caught:
        find_dataset("lerobot/pusht")
    assert expected in str(caught.value) and str(home) in str(caught.value)
    assert train.main(["--dataset", "lerobot/pusht", "--output", "run", "--device", "cpu"]) == 1
    assert expected in " ".join(capsys.readouterr().out.split())
    assert inspect.main(["lerobot/pusht"]) == 1
    assert expected in capsys.readouterr().err


def test_an_id_is_downloaded_at_lerobots_version_or_at_the_one_given(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def snapshot(repository: str, *, revision: str, repo_type: str, cache_dir: Path, **options: bool) -> str:
        assert (repository, repo_type, cache_dir) == ("owner/set", "dataset", home / "hub")
        asked.append(revision)
        return str(home / "hub" / revision)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_dataset("owner/set@main") == home / "hub" / "main"
    assert find_dataset("owner/set") == home / "hub" / "v3.0", "offline: from the cache"
    monkeypatch.setattr("lerobot.datasets.utils.get_safe_version", lambda *_: "v3.0")
    assert find_dataset("owner/set") == home / "hub" / "v3.0"
    assert asked == ["main", "v3.0", "v3.0"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            "v2.1",
            r"with LeRobot: python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=\S+ --root=",
        ),
        ("v2.0", "convert it to v2.1 first"),
        ("v4.0", "expected v3"),
    ],
)
def test_another_version_is_refused_with_the_command_that_converts_it(
    tmp_path: Path, version: str, expected: str
) -> None:
    root = write_shape(tmp_path / "set", "usual", episodes=1)
    info = root / "meta" / "info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"codebase_version": version}))
    with pytest.raises(DatasetError, match=expected):
        describe_dataset(root)


def test_a_missing_video_is_named_and_the_hub_is_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_shape(tmp_path / "set", "usual")
    video = root / "videos" / "observation.images.top" / "chunk-000" / "file-000.mp4"
    os.remove(video)
    with pytest.raises(DatasetError, match=r"top/chunk-000/file-000.mp4 of episode 0 is missing"):
        read_demonstrations(root)
    assert inspect.main([str(root), "--picture", str(tmp_path / "p.png")]) == 1
    assert "file-000.mp4 of episode 0 is missing" in capsys.readouterr().err
