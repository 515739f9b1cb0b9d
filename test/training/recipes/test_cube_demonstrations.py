# SPDX-License-Identifier: Apache-2.0
"""The recipe's demonstrations: the processes' shares, and what remains after an interruption."""

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
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Folder, demonstrations of each task and first seed of every started process; they do nothing."""
    calls: list[tuple[str, int, int]] = []

    def fake_start(folder: Path, count: int, tasks: Sequence[Task], seed: int) -> Child:
        calls.append((folder.name, count, seed))
        return start(folder.name, ["true"], {"PATH": "/usr/bin:/bin"}, folder.with_suffix(".log"))

    monkeypatch.setattr(cube_demonstrations, "_start_recording", fake_start)
    return calls


def test_an_odd_number_is_split_and_recorded_once(
    tmp_path: Path, started: list[tuple[str, int, int]]
) -> None:
    for _ in range(2):
        cube_demonstrations.record_demonstrations(tmp_path, 5, TASKS, 2)
    assert started == [("dataset_0", 3, 1_000_000), ("dataset_1", 2, 2_000_000)]


def test_recorded_demonstrations_count_and_their_scenes_are_not_repeated(
    tmp_path: Path, started: list[tuple[str, int, int]]
) -> None:
    meta = tmp_path / "dataset_0" / "meta"
    meta.mkdir(parents=True)
    (meta / "info.json").write_text(json.dumps({"total_episodes": 9}))
    cube_demonstrations.record_demonstrations(tmp_path, 5, TASKS, 2)
    assert started == [("dataset_0", 1, 1_000_018), ("dataset_1", 2, 2_000_000)]
    assert cube_demonstrations.dataset_folders(tmp_path) == [tmp_path / "dataset_0"]


def test_a_failing_process_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path, *rest: object) -> Child:
        command = ["sh", "-c", "echo no room; exit 3"]
        return start(folder.name, command, {"PATH": "/usr/bin:/bin"}, folder.with_suffix(".log"))

    monkeypatch.setattr(cube_demonstrations, "_start_recording", fail)
    with pytest.raises(DitPolicyError, match=r"(?s)exit code 3; .*dataset_0\.log ends with\nno room"):
        cube_demonstrations.record_demonstrations(tmp_path, 1, TASKS, 1)
    assert not (tmp_path / "dataset.done").exists()


def test_the_command_names_every_task() -> None:
    command = cube_demonstrations.recording_command(Path("d"), 2, TASKS[:2], seed=5)
    tasks = [command[i + 1] for i, option in enumerate(command) if option == "--task"]
    assert tasks == [task.instruction for task in TASKS[:2]]
    assert command[3:8] == ["dataset", "--output", "d", "--demonstrations", "2"]
