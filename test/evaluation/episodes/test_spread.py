# SPDX-License-Identifier: Apache-2.0
"""An evaluation on several workers finds what one process finds, and each finishes the other's work."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from small_robot import tiny_checkpoint

from dit_policy_ros.evaluation.episodes import Evaluation, EvaluationSettings, _spread
from dit_policy_ros.evaluation.workers import Workers, WorkersError
from dit_policy_ros.sim.robot import JOINTS
from dit_policy_ros.sim.tasks import Lift, Outcome, Touch

TASK_LIST = (Touch("left", "red"), Lift("left", "red"))
TASKS = tuple(task.instruction for task in TASK_LIST)


def run(settings: EvaluationSettings, until: int | None = None) -> tuple[list[Outcome], dict]:
    """Evaluate, or stop after some episodes; returns the outcomes and the content of summary.json."""
    with Evaluation(settings) as evaluation:
        for done, _ in enumerate(evaluation.run(), start=1):
            if done == until:
                return [], {}
        return evaluation.outcomes, json.loads(evaluation.write_report().read_text())


@pytest.mark.slow  # two processes import everything
def test_two_workers_find_what_one_finds(tmp_path: Path) -> None:
    settings = EvaluationSettings(tmp_path / "one", actor="operator", episodes=2, tasks=TASKS, max_videos=1)
    alone, summary = run(settings)
    spread = replace(settings, output=tmp_path / "two", workers=Workers(2))
    run(spread, until=1)
    lines = (tmp_path / "two" / "episodes.jsonl").read_text().splitlines()
    assert len(lines) == 2, "each episode is written down as soon as it is known"
    outcomes, found = run(replace(spread, resume=True))
    assert outcomes == alone and found == summary
    assert (tmp_path / "two" / "sheet.jpg").read_bytes() == (tmp_path / "one" / "sheet.jpg").read_bytes()
    assert not (tmp_path / "two" / "workers").exists()


@pytest.mark.slow
def test_the_videos_of_workers_are_kept_up_to_the_limit(tmp_path: Path) -> None:
    touch = TASK_LIST[0]
    settings = EvaluationSettings(tmp_path, actor="still", episodes=3, tasks=TASKS[:1], max_videos=1)
    _, found = run(replace(settings, workers=Workers(2)))
    (video,) = found["videos"]
    assert Path(video).stat().st_size > 1000
    shard = _spread.Shard(replace(settings, output=tmp_path), None, [(touch, settings.seed)])
    result = _spread.run_shard(shard)
    assert [(task, seed) for task, seed, _ in result.videos] == [(touch, settings.seed)]


def test_a_worker_with_other_weights_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS)
    settings = EvaluationSettings(tmp_path / "out", checkpoint=checkpoint, lock_step=True)
    with pytest.raises(WorkersError, match=r"has other weights in .* Copy the checkpoint to each machine"):
        _spread.run_shard(_spread.Shard(settings, "f" * 64, [(TASK_LIST[0], 7)]))
