# SPDX-License-Identifier: Apache-2.0
"""A file system that cannot hold a dataset is refused before an episode is recorded, not at its commit."""

import errno
import os
from pathlib import Path

import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.recording._file_system import check_file_system

MISSING = {
    "append": ("open", errno.EINVAL),
    "flush": ("fdatasync", errno.EINVAL),
    "rename": ("replace", errno.EPERM),
    "make folders": ("mkdir", errno.EROFS),
}


def dataset(root: Path) -> Path:
    for part in ("journal", "data/chunk-000", "meta", "videos"):
        (root / part).mkdir(parents=True)
    return root


def test_a_usual_file_system_is_left_as_it_was(tmp_path: Path) -> None:
    root = dataset(tmp_path / "set")
    before = sorted(root.rglob("*"))
    check_file_system(root)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("what", MISSING)
def test_what_the_file_system_cannot_do_is_named(tmp_path: Path, monkeypatch, what: str) -> None:
    name, number = MISSING[what]

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    root = dataset(tmp_path / "set")
    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(DatasetError, match=f"cannot hold a dataset.*{os.strerror(number)}.*local disk"):
            check_file_system(root)


@pytest.mark.parametrize("part", ["videos", "data/chunk-000"])
def test_a_folder_on_another_disk_is_named(tmp_path: Path, part: str) -> None:
    root = dataset(tmp_path / "set")
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk: /dev/shm is missing, or the same")
    (root / part).rmdir()
    (root / part).symlink_to(other)
    with pytest.raises(DatasetError, match=f"{part} is on another disk than .*journal"):
        check_file_system(root)


def test_a_full_disk_does_not_keep_the_dataset_closed(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    root = dataset(tmp_path / "set")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        check_file_system(root)
    assert not list((root / "journal").iterdir())
