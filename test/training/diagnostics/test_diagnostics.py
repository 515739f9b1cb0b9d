# SPDX-License-Identifier: Apache-2.0
"""Each way to fail is recognised, and only that one; a good policy passes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from acting import CHUNK, TASKS, ActingPolicy, Recordings, blind, collapsed, confused, good, idle

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import EpisodeRecord, format_records
from dit_policy_ros.training.diagnostics import (
    ADVICE,
    Finding,
    TaskDiagnosis,
    Thresholds,
    diagnose,
    predict_samples,
)
from dit_policy_ros.training.diagnostics._diagnosis import Predictions
from dit_policy_ros.training.diagnostics._measures import distance, spread, spread_units
from dit_policy_ros.training.diagnostics._samples import (
    choose_frames,
    count_demonstrations,
    demonstrated_well,
)


def examine(policy: ActingPolicy, recordings: Recordings | None = None) -> tuple[TaskDiagnosis, ...]:
    return diagnose(predict_samples(policy, recordings or Recordings(), per_task=16))


def test_a_good_policy_passes() -> None:
    for task in examine(ActingPolicy(good)):
        assert task.findings == (), task
        assert task.variance_ratio == pytest.approx(1.0, abs=0.2)
        assert task.motion_ratio == pytest.approx(1.0, abs=0.2)
        assert task.error < 0.2
        assert 0.5 < task.language_ratio < 2.0
        assert task.mistaken_for is None or task.misled_fraction < 0.2


def test_a_noisy_policy_that_follows_instructions_passes() -> None:
    assert not any(task.is_failing for task in examine(ActingPolicy(good, noise=0.15)))


def test_a_collapsed_policy() -> None:
    for task in examine(ActingPolicy(collapsed)):
        assert {Finding.COLLAPSED, Finding.IDLE, Finding.LANGUAGE_BLIND} <= set(task.findings)
        assert task.variance_ratio < 0.2, "only its noise"
        assert task.is_failing


def test_an_idle_policy_is_not_taken_for_a_collapsed_one() -> None:
    for task in examine(ActingPolicy(idle, noise=0.0)):
        assert Finding.IDLE in task.findings and Finding.COLLAPSED not in task.findings
        assert task.idle_fraction == 1.0
        assert task.motion_ratio == pytest.approx(0.0, abs=1e-6)


def test_idling_in_part_of_a_task() -> None:
    def often_idle(position, task, dominant):
        return (idle if position[1] > 0 else good)(position, task, dominant)

    up = examine(ActingPolicy(often_idle, noise=0.0))[2]
    assert Finding.IDLE in up.findings
    assert 0.3 < up.idle_fraction < 1.0


def test_a_language_blind_policy() -> None:
    tasks = examine(ActingPolicy(blind))
    assert all(Finding.LANGUAGE_BLIND in task.findings for task in tasks)
    assert all(task.language_ratio < 0.01 for task in tasks)
    assert not any({Finding.COLLAPSED, Finding.IDLE} & set(task.findings) for task in tasks)


def test_a_policy_that_does_another_task() -> None:
    tasks = examine(ActingPolicy(confused))
    for i, task in enumerate(tasks):
        assert task.findings == (Finding.WRONG_TASK,)
        assert task.mistaken_for == TASKS[i - 1], "the instruction under which it does this task"
        assert task.nearest[TASKS[i - 1]] > 0.7


def test_one_task_is_confused_and_the_others_are_not() -> None:
    def partly(position, task, dominant):
        return (confused if task == 1 else good)(position, task, dominant)

    left, right, up = examine(ActingPolicy(partly))
    assert left.findings == up.findings == ()
    assert Finding.WRONG_TASK not in right.findings or right.is_failing
    assert right.error > 4 * left.error


@pytest.mark.parametrize("at_rest", [2e-5, 1e-4, 5e-3])
def test_a_joint_that_hardly_moves_does_not_decide(at_rest: float) -> None:
    """A good policy is 10 mrad off where the demonstrations rest to 0.02 to 5 mrad."""
    for task in examine(ActingPolicy(good, at_rest=0.01), Recordings(at_rest=at_rest)):
        assert task.findings == (), task
        assert task.variance_ratio < 2.0 and task.error < 0.3


def test_the_entry_that_makes_up_the_error_is_named() -> None:
    for task in examine(ActingPolicy(good, at_rest=0.5), Recordings(at_rest=1e-4)):
        assert task.worst_entry == "rests" and task.worst_share > 0.9
        assert Finding.SCATTERED in task.findings and Finding.COLLAPSED not in task.findings


def test_a_good_policy_is_not_misled_where_tasks_begin_alike() -> None:
    """All tasks first go to the middle; from there the nearest instruction is a matter of noise."""
    predictions = predict_samples(ActingPolicy(good), Recordings(), per_task=40)
    rng = np.random.default_rng(0)
    alike = np.repeat(predictions.demonstrated[:, None], 3, axis=1)
    alike += 0.02 * rng.standard_normal((*alike.shape[:2], 1, alike.shape[3]))
    same = dataclasses.replace(predictions, predicted=alike)
    assert not any(Finding.WRONG_TASK in task.findings for task in diagnose(same))


def test_scattered_outputs_are_a_risk() -> None:
    for task in examine(ActingPolicy(good, noise=3.0)):
        assert Finding.SCATTERED in task.findings and task.variance_ratio > 4
        assert task.worst_entry in ("x", "y")


def test_units_of_entries() -> None:
    values = np.random.default_rng(0).standard_normal((5000, 5)) * [1.0, 0.5, 0.06, 1e-4, 0.0]
    np.testing.assert_allclose(spread_units(values), [1.0, 0.5, 0.06, 0.05, 0.0], rtol=0.05)
    assert not spread_units(np.ones((7, 2))).any() and spread_units(np.ones((1, 2))).shape == (2,)


def records(root: Path, bad: dict[int, dict[str, Any]], episodes: int, frames: int) -> Recordings:
    """Recordings whose side table says what is bad."""
    table = [EpisodeRecord(i, frames, **bad.get(i, {"success": True})) for i in range(episodes)]
    (root / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (root / "meta" / "recorder.jsonl").write_text(format_records(table))
    (root / "meta" / "info.json").write_text(json.dumps({"total_episodes": episodes}))
    lengths = pa.table({"episode_index": range(episodes), "length": [frames] * episodes})
    pq.write_table(lengths, root / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    return Recordings((episodes, 0, 0), length=frames, root=root)


def test_failed_episodes_are_no_demonstrations(tmp_path: Path) -> None:
    bad = {1: {"success": False}, 3: {"passed": False, "reasons": ("gap",)}}
    recordings = records(tmp_path, bad, episodes=6, frames=10)
    recordings.action[10:20] = 50.0  # would change every unit
    predictions = predict_samples(ActingPolicy(good), recordings, per_task=40)
    assert predictions.demonstrations[TASKS[0]] == 4 and predictions.frames[TASKS[0]] == 40
    assert len(predictions.demonstrated) == 40 and predictions.scale.max() < 2.0
    chosen = recordings.episode_index[choose_frames(recordings.task_index, 99, demonstrated_well(recordings))]
    assert set(chosen) == {0, 2, 4, 5}


def test_a_dataset_of_failures_is_refused(tmp_path: Path) -> None:
    recordings = records(tmp_path, {0: {"success": False}, 1: {"success": False}}, episodes=2, frames=10)
    with pytest.raises(DatasetError, match="each of its 2 episodes failed"):
        predict_samples(ActingPolicy(good), recordings, per_task=2)


def test_too_few_demonstrations_are_reported() -> None:
    few, many, enough = examine(ActingPolicy(good), Recordings((20, 300, 110)))
    assert few.findings == (Finding.FEW_DEMONSTRATIONS, Finding.UNDERREPRESENTED)
    assert (few.demonstrations, many.demonstrations, enough.demonstrations) == (20, 300, 110)
    assert few.frames == 400 and not few.is_failing
    assert many.findings == enough.findings == ()


def test_an_episode_counts_for_each_of_its_instructions() -> None:
    recordings = Recordings((2, 0, 0), length=6)
    recordings.task_index = np.array([0, 0, 1, 1, 0, 0, 0, 0, 0, 2, 2, 2])
    assert count_demonstrations(recordings) == {"go left": 3, "go right": 1, "go up": 1}


def test_a_single_task_cannot_be_mistaken() -> None:
    policy = ActingPolicy(blind, known_tasks=())
    recordings = Recordings((60, 0, 0))
    recordings.tasks = TASKS[:1]
    (task,) = examine(policy, recordings)
    assert np.isnan(task.misled_fraction) and np.isnan(task.language_ratio)
    assert task.findings == () and task.mistaken_for is None


def test_an_instruction_without_data_is_predicted_but_not_judged() -> None:
    policy = ActingPolicy(good, known_tasks=(*TASKS, "dance"))
    tasks = examine(policy)
    assert policy.instructions.count("dance") == 3 * 16
    assert [task.task for task in tasks] == list(TASKS)
    assert "dance" in tasks[0].nearest


def test_all_instructions_share_the_noise_and_the_generator_is_restored() -> None:
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    predictions = predict_samples(ActingPolicy(blind, noise=1.0), Recordings(), per_task=4)
    assert torch.equal(torch.randn(3), expected)
    assert np.ptp(predictions.predicted, axis=1).max() == 0.0
    assert predictions.predicted.std(axis=0).max() > 0.5, "observations do not share it"


def test_frames_are_spread_evenly_over_a_tasks_frames() -> None:
    index = np.array([0] * 100 + [1] * 3)
    frames = choose_frames(index, 4)
    assert frames.tolist() == [12, 37, 62, 87, 100, 101, 102]


def test_actions_that_never_change_are_refused() -> None:
    recordings = Recordings()
    recordings.action = np.ones_like(recordings.action)
    with pytest.raises(DatasetError, match="no action ever changes"):
        predict_samples(ActingPolicy(good), recordings, per_task=2)


def test_steps_after_an_episodes_end_do_not_count() -> None:
    predictions = predict_samples(ActingPolicy(good), Recordings(), per_task=16)
    spoiled = dataclasses.replace(predictions, demonstrated=predictions.demonstrated.copy())
    spoiled.demonstrated[~predictions.valid] = 1e6
    assert (~predictions.valid).any()
    for clean, dirty in zip(diagnose(predictions), diagnose(spoiled), strict=True):
        assert dirty == clean


def test_distance_and_spread_of_known_numbers() -> None:
    a = np.array([[[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]]])  # (1, 3, 2)
    valid = np.array([[True, True, False]])
    assert distance(a, np.zeros_like(a), valid) == pytest.approx(np.sqrt(12.5 / 2))
    b = np.array([[[1.0]], [[3.0]], [[100.0]]])  # (3, 1, 1)
    assert spread(b, np.array([[True], [True], [False]])) == pytest.approx(1.0)
    assert np.isnan(spread(b[:1], np.array([[True]])))


def test_other_thresholds_give_other_findings() -> None:
    predictions: Predictions = predict_samples(ActingPolicy(good), Recordings(), per_task=8)
    strict = Thresholds(few=1000, variance_ratio=5.0)
    assert all(
        task.findings == (Finding.COLLAPSED, Finding.FEW_DEMONSTRATIONS)
        for task in diagnose(predictions, strict)
    )
    assert predictions.predicted.shape == (24, 3, CHUNK, 3)
    assert set(ADVICE) == set(Finding)
