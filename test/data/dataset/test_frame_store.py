# SPDX-License-Identifier: Apache-2.0
"""Images are decoded once, stored completely or not at all, and refused if there is no space."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_disk import small_disk

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
    with pytest.raises(DatasetError, match=r"of images or their features, 0.0 GB free"):
        FrameStore(tmp_path).images("a", SHAPE, never)
    with pytest.raises(DatasetError, match=r"GB of memory are free; keep them in files .*--frame-store"):
        FrameStore().images("a", (10**9, 480, 640, 3), never)


def test_the_error_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot make the folder"):
        FrameStore(tmp_path / "file").images("a", SHAPE, fill)


ON_A_FULL_DISK = """
import sys
from pathlib import Path
import numpy as np
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import FrameStore, _frame_store

folder, when = Path(sys.argv[1]), sys.argv[2]

def fill_disk():
    with (folder / "filler").open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()

def attempt():
    try:
        fill_disk()
    except OSError:
        pass

def fill(array):
    if when == "filling":
        attempt()
    array[:] = 7

if when == "checked":
    real = _frame_store._make_room
    def checked(path, needed):
        real(path, needed)
        attempt()
    _frame_store._make_room = checked
try:
    print(FrameStore(folder / "frames").images("a", (100, 48, 64, 3), fill).mean())
except DatasetError as error:
    print(error)
"""


@pytest.mark.parametrize("when", ["filling", "checked"])
def test_a_disk_that_becomes_full_meanwhile_is_an_error_or_no_matter(tmp_path: Path, when: str) -> None:
    """While the images are decoded: their space is taken already. Before: a message, and nothing is left."""
    with small_disk(tmp_path / "disk", 2048) as disk:
        command = [sys.executable, "-c", ON_A_FULL_DISK, str(disk.path), when]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ended.returncode == 0, ended  # SIGBUS otherwise
        left = [path.suffix for path in (disk.path / "frames").iterdir()]
    if when == "filling":
        assert ended.stdout == "7.0\n" and left == [".npy"]
    else:
        assert "cannot write" in ended.stdout and "No space left" in ended.stdout and left == []


def test_newer_data_of_a_dataset_replace_the_older_ones(tmp_path: Path) -> None:
    other = FrameStore(tmp_path).images("other", SHAPE, fill, group="other dataset")
    old = FrameStore(tmp_path).images("old", SHAPE, fill, group="dataset")
    FrameStore(tmp_path).images("small", (5, 2, 3, 3), lambda array: None, group="dataset")
    used = FrameStore(tmp_path).images("old", SHAPE, never, group="dataset")
    FrameStore(tmp_path).images("newer", (6, 4, 6, 3), lambda array: None, group="dataset")
    assert len(list(tmp_path.glob("*.npy"))) == 4  # the old one is used
    assert used[4].max() == 4
    del old, used, other
    FrameStore(tmp_path).images("newest", (7, 4, 6, 3), lambda array: None, group="dataset")
    shapes = [np.load(path, mmap_mode="r").shape for path in tmp_path.glob("*.npy")]
    assert sorted(shapes) == [(5, 2, 3, 3), SHAPE, (7, 4, 6, 3)]


def test_the_one_used_longest_ago_makes_room_for_another(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine.npy").write_bytes(b"a user's file")
    for number in range(3):
        FrameStore(tmp_path).images(number, SHAPE, fill)
        stored = max(tmp_path.glob("*-*.npy"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(stored, (1000 + number, 1000 + number))
    used = FrameStore(tmp_path).images(0, SHAPE, never)  # used just now
    size, room = int(np.prod(SHAPE)), 3

    def free(folder: Path) -> int:
        return (room - len(list(tmp_path.glob("*-*.npy")))) * size

    monkeypatch.setattr("dit_policy_ros.data.dataset._frame_store.free_disk", free)
    FrameStore(tmp_path).images(3, SHAPE, fill)
    for number in (0, 2, 3):
        FrameStore(tmp_path).images(number, SHAPE, never)
    room = 1
    with pytest.raises(DatasetError, match=r"GB free\. Free some space"):
        FrameStore(tmp_path).images(4, SHAPE, fill)
    assert used[4].max() == 4 and (tmp_path / "mine.npy").exists()
    FrameStore(tmp_path).images(0, SHAPE, never)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    FrameStore(tmp_path).images("a", SHAPE, fill)
    (stored,) = tmp_path.iterdir()
    for name in (stored.name, f"{'0' * 24}.npy"):
        (tmp_path / f".{name}.unfinished-1").write_bytes(bytes(100))
        (tmp_path / f".{name}.lock").touch()
    FrameStore(tmp_path).images("b", SHAPE, fill)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}


def test_two_that_need_the_same_array_decode_it_once(tmp_path: Path) -> None:
    begun, go, results = threading.Event(), threading.Event(), []

    def slow(array: np.ndarray) -> None:
        begun.set()
        assert go.wait(30.0)
        fill(array)

    def second() -> None:
        results.append(FrameStore(tmp_path).images("a", SHAPE, never))

    first = threading.Thread(target=lambda: results.append(FrameStore(tmp_path).images("a", SHAPE, slow)))
    other = threading.Thread(target=second)
    first.start()
    assert begun.wait(30.0)
    other.start()
    other.join(0.2)  # whether it has come to the lock by now or not, the result is the same
    go.set()
    first.join(30.0)
    other.join(30.0)
    assert [array[4].max() for array in results] == [4, 4]


def test_a_finished_store_can_be_used_on_a_read_only_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2048) as disk:
        FrameStore(disk.path / "frames").images("a", SHAPE, fill)
        subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
        images = FrameStore(disk.path / "frames").images("a", SHAPE, never)
        assert images[4].max() == 4
        del images
        with pytest.raises(DatasetError, match=r"cannot write.*Read-only"):
            FrameStore(disk.path / "frames").images("b", SHAPE, never)
