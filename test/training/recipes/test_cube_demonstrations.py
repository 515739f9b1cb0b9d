# SPDX-License-Identifier: Apache-2.0
"""The recipe's demonstrations: shares of the processes, and what an interrupted run has left to do."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.core.child_processes import Child, start
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.sim.tasks import Task, suite
from dit_policy_ros.training.recipes import _cube_demonstrations as cube_demonstrations

TASKS = suite()[:4]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Folder, demonstrations of each task and first seed of every process that is started; all do nothing."""
    calls: list[tuple[str, int, int]] = []

    def begin(folder: Path, count: int, tasks: Sequence[Task], seed: int) -> Child:
        calls.append((folder.name, count, seed))
        return start(folder.name, ["true"], {"PATH": "/usr/bin:/bin"}, folder.with_suffix(".log"))

    monkeypatch.setattr(cube_demonstrations, "_start", begin)
    return calls


def test_an_odd_number_is_shared_and_made_once(tmp_path: Path, asked: list[tuple[str, int, int]]) -> None:
    for _ in range(2):
        cube_demonstrations.demonstration_stage(tmp_path, 5, TASKS, 2)
    assert asked == [("dataset_0", 3, 1_000_000), ("dataset_1", 2, 2_000_000)]


def test_what_was_recorded_counts_and_its_scenes_do_not_come_again(
    tmp_path: Path, asked: list[tuple[str, int, int]]
) -> None:
    meta = tmp_path / "dataset_0" / "meta"
    meta.mkdir(parents=True)
    (meta / "info.json").write_text(json.dumps({"total_episodes": 9}))
    cube_demonstrations.demonstration_stage(tmp_path, 5, TASKS, 2)
    assert asked == [("dataset_0", 1, 1_000_018), ("dataset_1", 2, 2_000_000)]
    assert cube_demonstrations.datasets(tmp_path) == [tmp_path / "dataset_0"]


def test_a_process_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(folder: Path, *rest: object) -> Child:
        command = ["sh", "-c", "echo no room; exit 3"]
        return start(folder.name, command, {"PATH": "/usr/bin:/bin"}, folder.with_suffix(".log"))

    monkeypatch.setattr(cube_demonstrations, "_start", begin)
    with pytest.raises(DitPolicyError, match=r"(?s)exit code 3; .*dataset_0\.log ends with\nno room"):
        cube_demonstrations.demonstration_stage(tmp_path, 1, TASKS, 1)
    assert not (tmp_path / "dataset.done").exists()
