# SPDX-License-Identifier: Apache-2.0
"""Runs of a policy that the scripted operator corrects: who drove, and whole attempts."""

from types import SimpleNamespace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from dit_policy_ros.cli import dataset
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.evaluation.demonstrations import (
    DemonstrationSettings,
    _corrections,
    correction_facts,
    lockstep_corrections,
)
from dit_policy_ros.policy.checkpoint import checkpoint_hash
from dit_policy_ros.sim.robot import FPS
from dit_policy_ros.sim.tasks import Touch

TOUCH = Touch("left", "red")
PATIENCE = 1.0  # [s]


class StillPolicy:
    """Stays where it is, so that it never does the task."""

    image_shapes = {"top": (96, 128)}  # noqa: RUF012
    vectors, n_obs_steps = (), 2

    def __init__(self):
        self.asked = []

    def seed_sampling(self, seed):
        self.asked.append(seed)

    def predict(self, images, state, task):
        assert images["top"].shape == (2, 96, 128, 3) and state.shape == (2, 14)
        self.asked.append(task)
        return np.tile(state[-1].astype(np.float64), (24, 1))


@pytest.fixture
def policy(monkeypatch):
    made = StillPolicy()
    monkeypatch.setattr(_corrections, "load_policy_of", lambda _: made)
    return made


def record(folder, count=1, patience=PATIENCE):
    settings = DemonstrationSettings(folder, seed=5)
    runs = list(lockstep_corrections(settings, default_checkpoint(), [TOUCH] * count, patience))
    files = sorted((folder / "data").rglob("*.parquet"))
    table = pyarrow.concat_tables(map(pyarrow.parquet.read_table, files)).to_pydict()
    return runs, SimpleNamespace(**{key.replace(".", "_"): np.array(value) for key, value in table.items()})


def test_the_operator_takes_over_when_the_policy_does_nothing(policy, tmp_path):
    runs, rows = record(tmp_path / "runs")
    assert all(run.success and 0 < run.human_frames < run.frames for run in runs)
    for episode, run in enumerate(runs):
        ours = rows.episode_index == episode
        human = rows.controller[ours] == "human"
        first = int(np.argmax(human))
        assert 0.6 * PATIENCE * FPS <= first <= 1.4 * PATIENCE * FPS, "he waits about that long"
        assert human[first:].all() and set(rows.controller[ours][:first]) == {"policy"}
        assert np.array_equal(rows.intervention[ours].ravel(), human)
        assert human.sum() == run.human_frames and ours.sum() == run.frames
        moved = np.abs(np.diff(rows.action[ours], axis=0)).max(axis=1)
        assert moved[first + 10 :].max() > 0.005 > moved[: first - 1].max(), "his actions move the arms"
        assert moved.max() < 0.2, "no jump where he takes over"
    assert [each for each in policy.asked if isinstance(each, int)] == [5]
    for record_of in read_records(tmp_path / "runs").values():
        assert record_of.success and record_of.passed
        assert record_of.figures["policies"] == [checkpoint_hash(default_checkpoint())]
        assert record_of.figures["human_frames"] in {run.human_frames for run in runs}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_runs(policy, tmp_path):
    (_, one), (_, two) = (record(tmp_path / name, patience=0.0) for name in ("one", "two"))
    assert np.array_equal(one.action, two.action) and np.array_equal(
        one.observation_state, two.observation_state
    )
    assert (one.controller == "human").all()  # he has no patience at all


@pytest.mark.slow
def test_the_program_says_how_many_were_corrected(policy, tmp_path, capsys):
    arguments = ["--lock-step", "--correct", str(default_checkpoint()), "--patience", "0.5", "--task"]
    arguments += [TOUCH.instruction, "--demonstrations", "1", "--json", "--output", str(tmp_path / "runs")]
    assert dataset.main(arguments) == 0
    assert '"corrected": 1' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--correct", "c"], "--correct: only with --lock-step"),
        (["--lock-step", "--patience", "1"], "--patience: only with --correct"),
        (["--lock-step", "--correct", "c", "--patience", "-1"], "expected 0 to 60 s"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        dataset.parse(["--output", "x", *arguments])
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there_is_one_sentence(tmp_path, capsys):
    arguments = ["--lock-step", "--correct", str(tmp_path / "none"), "--output", str(tmp_path / "runs")]
    assert dataset.main(arguments) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_facts_count_each_kind():
    run = _corrections.CorrectedRun
    runs = [run(TOUCH, True, 100, 0), run(TOUCH, True, 100, 50), run(TOUCH, False, 200, 150)]
    (row,) = correction_facts([TOUCH], runs)
    assert row == {
        "instruction": TOUCH.instruction, "attempts": 3, "by_policy_alone": 1, "corrected": 1, "failed": 1,
        "human_share": 0.5,
    }  # fmt: skip
