# SPDX-License-Identifier: Apache-2.0
"""Tables in files are those in memory, and a disk without room is named before anything is lost."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from small_disk import small_disk
from tiny_dataset import write_tiny_dataset

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.data.dataset._scratch import ScratchArrays, renumbered


@pytest.mark.slow
def test_the_same_demonstrations_whether_in_files_or_in_memory(tmp_path: Path) -> None:
    one = write_tiny_dataset(tmp_path / "one", tasks=("pick", "place"))
    two = write_tiny_dataset(tmp_path / "two", seed=1, tasks=("place", "push"))
    for roots in (one, [one, two], [two, one]):
        kept = read_demonstrations(roots, stream=True)
        filed = read_demonstrations(roots, stream=True, scratch=tmp_path / "new" / "run")
        assert filed.tasks == kept.tasks
        for name in ("state", "action", "task_index", "episode_index"):
            in_file, in_memory = getattr(filed, name), getattr(kept, name)
            np.testing.assert_array_equal(in_file, in_memory)
            assert in_file.dtype == in_memory.dtype
    assert not (tmp_path / "new").exists() and {each.name for each in tmp_path.iterdir()} == {"one", "two"}


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000) as disk:
        allocate = ScratchArrays(disk.path / "run")
        array = allocate((100, 3), np.dtype(np.float32))
        array[:] = 1.0
        with pytest.raises(DatasetError, match=r"needs 0\.8 GB there.*choose another --output"):
            allocate((100_000_000, 2), np.dtype(np.float32))
        assert not list(disk.path.iterdir())


def test_a_task_that_the_dataset_does_not_have_is_refused() -> None:
    for wrong in (-1, 2):
        with pytest.raises(DatasetError, match=r"set: task_index: expected 0 to 1"):
            renumbered(np.array([0, wrong, 1]), [1, 0], np.empty, "set")
