# SPDX-License-Identifier: Apache-2.0
"""Demonstrations in lock-step: reproducible, disturbed as asked, and repeated when they fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.data.dataset import Demonstrations, failed_episodes, read_demonstrations
from dit_policy_ros.evaluation.demonstrations import (
    Demonstration,
    DemonstrationSettings,
    _lockstep,
    _over_ros,
    demonstration_table,
    lockstep_demonstrations,
    repeat_until_kept,
)
from dit_policy_ros.evaluation.session import config_path
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import Variation
from dit_policy_ros.sim.tasks import Lift, Touch, suite

TOUCH = Touch("left", "red")


def settings_for(folder: Path, **changes) -> DemonstrationSettings:
    return replace(DemonstrationSettings(folder, cameras=("top",), seed=5), **changes)


def record(settings: DemonstrationSettings, count: int = 1) -> Demonstrations:
    """Record the touching task and read the dataset."""
    list(lockstep_demonstrations(settings, [TOUCH] * count))
    return read_demonstrations(settings.output, ("top",), (96, 128))


def test_the_same_seed_gives_the_same_dataset(tmp_path: Path) -> None:
    one, two = (record(settings_for(tmp_path / name)) for name in ("one", "two"))
    rare = record(settings_for(tmp_path / "rare", picture_every=5))
    assert one.tasks == (TOUCH.instruction,) and one.fps == 30.0
    assert np.array_equal(one.state, two.state) and np.array_equal(one.action, two.action)
    assert 30 < len(one.state) < 8 * 30, "it ends soon after success"
    error = (one.state[1:] - one.action[:-1])[:, :6]
    assert 0.001 < np.abs(error).mean() < 0.1, "the arms follow their targets with a small error"
    assert failed_episodes(tmp_path / "one") == failed_episodes(tmp_path / "rare") == {}
    assert np.array_equal(one.state, rare.state) and np.array_equal(one.action, rare.action)
    assert one.flagged_images is not None and not one.flagged_images.any()
    assert rare.flagged_images is not None and rare.flagged is not None and not rare.flagged.any()
    assert np.array_equal(rare.flagged_images, np.arange(len(rare.state)) % 5 > 0)
    all_new, repeated = (data.images["top"][:25].astype(int) for data in (one, rare))
    assert np.abs(all_new[::5] - repeated[::5]).mean() < 2.0
    assert np.abs(repeated[5:10] - repeated[5]).mean() < 1.0


def test_the_aim_error_that_was_asked_for_reaches_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[float] = []

    class Asked(Operator):
        def __init__(self, rng: np.random.Generator, aim_error: float = 0.0) -> None:
            got.append(aim_error)
            super().__init__(rng, aim_error)

    monkeypatch.setattr(_lockstep, "Operator", Asked)
    settings = settings_for(tmp_path / "d", aim_error=0.03, logs=tmp_path)
    record(settings)
    assert got == [0.03]
    assert _over_ros._commands(settings)["teleop"].parameters["aim_error"] == "0.03"


@pytest.mark.slow
def test_arms_can_start_anywhere_and_be_knocked(tmp_path: Path) -> None:
    calm = record(settings_for(tmp_path / "calm", disturbance=0.0), 4)
    wild = record(settings_for(tmp_path / "wild", disturbance=0.0, start_anywhere=True, knocks=2.0), 4)
    read = (calm, wild)
    first = [np.unique(data.episode_index, return_index=True)[1] for data in read]  # (4,) rows each
    starts = [data.state[rows] for data, rows in zip(read, first, strict=True)]  # (4, 14) each
    elsewhere = np.abs(starts[1] - starts[0])[:, :6].max(axis=1) > 0.1  # (4,)
    assert elsewhere.any() and not elsewhere.all(), "the left arm often starts elsewhere, but not always"
    np.testing.assert_allclose(starts[1][:, 7:13], starts[0][:, 7:13], atol=1e-3)
    error = [
        np.abs(data.state[1:] - data.action[:-1])[np.diff(data.episode_index) == 0, 7:13].max()
        for data in read
    ]
    assert error[1] > 3 * error[0], "the other arm, which has nothing to do, is knocked as well"


@pytest.mark.slow
def test_scenes_can_look_different_without_changing_the_motion(tmp_path: Path) -> None:
    plain = record(settings_for(tmp_path / "plain"))
    varied = record(settings_for(tmp_path / "varied", variation=Variation(0.02, 0.5)))
    np.testing.assert_array_equal(plain.action, varied.action)
    difference = np.abs(plain.images["top"][0].astype(int) - varied.images["top"][0].astype(int)).mean()
    assert difference > 4.0, "more than what encoding changes"


def test_a_failed_attempt_is_repeated_in_another_scene_up_to_a_limit() -> None:
    red, blue = Lift("left", "red"), Lift("right", "blue")
    tried: list[tuple[str, int, int]] = []

    def attempt(task: Lift, seed: int, discarded: int) -> Demonstration | str:
        tried.append((task.colour, seed, discarded))
        return (
            Demonstration(task, 9, 30.0, (), discarded)
            if seed in (5, 8)
            else ("the top camera repeated 50 of 151 frames" if seed == 7 else "")
        )

    kept = repeat_until_kept([red, blue, red], 5, attempt)
    first, second = next(kept), next(kept)
    assert (first.discarded, first.rejected) == (0, ())
    assert (second.discarded, second.rejected) == (2, ("the top camera repeated 50 of 151 frames",))
    assert tried == [("red", 5, 0), ("blue", 6, 0), ("blue", 7, 1), ("blue", 8, 2)]
    with pytest.raises(SimulationError, match="10 demonstrations in a row failed: lift the red cube"):
        next(kept)


def test_reasons_of_the_check_are_in_the_error_of_too_many_failures() -> None:
    kept = repeat_until_kept([Lift("left", "red")], 0, lambda *_: "the wrist camera froze")
    with pytest.raises(SimulationError, match=r"check failed in 10: the wrist camera froze\."):
        next(kept)


def test_both_kinds_of_recording_have_the_robot_type_of_the_contract(tmp_path: Path) -> None:
    contract = yaml.safe_load(config_path().read_text())["/**"]["ros__parameters"]
    assert contract["robot_type"] == _lockstep.ROBOT_TYPE


def test_the_table_counts_by_task() -> None:
    task = Lift("left", "red")
    kept = [
        Demonstration(task, 150, 30.0, (), 0),
        Demonstration(task, 210, 30.0, ("slow camera",), 2),
    ]
    table = demonstration_table(suite(), kept)
    assert table.row_count == 1
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells == [task.instruction, "2", "2", "6.0", "1"]
