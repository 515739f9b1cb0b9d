# SPDX-License-Identifier: Apache-2.0
"""Images are decoded once, stored completely or not at all, and refused if there is no space."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import FrameStore

SHAPE = (5, 4, 6, 3)


def fill(array: np.ndarray) -> None:
    array[:] = np.arange(5)[:, None, None, None]


def never(array: np.ndarray) -> None:
    raise AssertionError("filled a second time")


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_array_has_the_images_that_were_filled_in(tmp_path: Path, on_disk: bool) -> None:
    images = FrameStore(tmp_path if on_disk else None).images("a", SHAPE, fill)
    assert images.shape == SHAPE and images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_files_are_reused_and_other_data_get_other_files(tmp_path: Path) -> None:
    FrameStore(tmp_path).images(["top", 1], SHAPE, fill)
    assert FrameStore(tmp_path).images(["top", 1], SHAPE, never)[4].max() == 4
    other = FrameStore(tmp_path).images(["top", 2], SHAPE, lambda array: array.fill(9))
    assert other.min() == 9
    with pytest.raises(AssertionError):
        FrameStore(tmp_path).images(["top", 1], (6, *SHAPE[1:]), never)


def test_an_interrupted_fill_leaves_no_file(tmp_path: Path) -> None:
    def interrupted(array: np.ndarray) -> None:
        fill(array)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FrameStore(tmp_path).images("a", SHAPE, interrupted)
    assert list(tmp_path.iterdir()) == []


def test_missing_space_is_reported_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=0, f_frsize=4096))
    with pytest.raises(DatasetError, match=r"of images, 0.0 GB free"):
        FrameStore(tmp_path).images("a", SHAPE, never)
    with pytest.raises(DatasetError, match=r"GB of memory are free; keep them in files .*--frame-store"):
        FrameStore().images("a", (10**9, 480, 640, 3), never)


def test_the_error_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot make the folder"):
        FrameStore(tmp_path / "file").images("a", SHAPE, fill)
