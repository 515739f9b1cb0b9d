# SPDX-License-Identifier: Apache-2.0
"""The sheet of frames does not depend on the order in which episodes end."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from dit_policy_ros.evaluation.report import EpisodeFilm, FrameSheet

TASKS = ("lift [it] up", "lift it up")


def frames(level: int) -> list[np.ndarray]:
    return [np.full((48, 64, 3), level, np.uint8)] * 3


@pytest.mark.parametrize("order", permutations((3, 4, 5)))
def test_the_lowest_seed_is_shown(tmp_path, order):
    sheet, worker = FrameSheet(tmp_path / "rows", True), FrameSheet(tmp_path / "worker", True)
    worker.add(TASKS[0], order[0], frames(order[0]))
    sheet.adopt(TASKS[0], *worker.row_of(TASKS[0]))
    for seed in order[1:]:
        sheet.add(TASKS[0], seed, frames(seed))
    seed, row = sheet.row_of(TASKS[0])
    resumed = FrameSheet(tmp_path / "rows", delete_old=False)
    assert seed == 3 and len(list((tmp_path / "rows").iterdir())) == 1
    assert resumed.row_of(TASKS[0]) == (3, row) and resumed.row_of(TASKS[1]) is None
    resumed.write(TASKS, tmp_path / "sheet.jpg")
    assert (tmp_path / "sheet.jpg").is_file()


def test_a_film_begins_with_its_own_scene(tmp_path: Path) -> None:
    """Pictures that were under way when the scene began are of the scene before it."""
    film = EpisodeFilm(tmp_path / "failures", 1, FrameSheet(tmp_path / "rows", delete_old=True))
    film.begin()
    film.add(50_000_000, np.full((12, 16, 3), 10, np.uint8))
    film.begin(since_ns=1_000_000_000)
    for stamp_ns in (900_000_000, 1_000_000_000, 1_100_000_000):
        film.add(stamp_ns, np.full((12, 16, 3), stamp_ns // 10_000_000, np.uint8))
    assert [stamp for stamp, _ in film._frames] == [1_000_000_000, 1_100_000_000]
