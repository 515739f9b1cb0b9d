# SPDX-License-Identifier: Apache-2.0
"""An evaluation takes hours; what it found outlives what interrupts it."""

import json
from pathlib import Path

import pytest

from dit_policy_ros.cli import evaluate
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.report import EpisodeLog
from dit_policy_ros.evaluation.report._log import EPISODES_FILE
from dit_policy_ros.sim.tasks import Lift, Outcome, Touch

TASK = Lift("left", "red")
DONE = Outcome(TASK, True, 2.5, (TASK.instruction,), holds=1, hold_reasons=("nan",), jerk=3.0)
FACTS = {"checkpoint": "a", "parameters": ("x:=1",)}


def test_what_ended_is_read_back(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, FACTS, resume=False)
    log.add(7, DONE)
    log.close()
    again = EpisodeLog(tmp_path, FACTS, resume=True)
    assert again.outcomes == {(TASK, 7): DONE}
    again.add(8, DONE)
    again.close()
    assert len(EpisodeLog(tmp_path, FACTS, resume=True).outcomes) == 2
    assert not EpisodeLog(tmp_path, FACTS, resume=False).outcomes, "begun anew"
    assert not EpisodeLog(tmp_path, FACTS, resume=True).outcomes


@pytest.mark.parametrize("resume", [True, False])
def test_two_evaluations_do_not_write_to_one_log(tmp_path: Path, resume: bool) -> None:
    log = EpisodeLog(tmp_path, FACTS, resume=False)
    log.add(7, DONE)
    with pytest.raises(DitPolicyError, match="another evaluation is writing to it"):
        EpisodeLog(tmp_path, FACTS, resume=resume)
    log.close()
    assert list(EpisodeLog(tmp_path, FACTS, resume=True).outcomes) == [(TASK, 7)], "and nothing is lost"


def test_a_line_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, FACTS, resume=False)
    for seed in (1, 2):
        log.add(seed, DONE)
    log.close()
    path = tmp_path / EPISODES_FILE
    path.write_text(path.read_text()[:-9])
    again = EpisodeLog(tmp_path, FACTS, resume=True)
    assert list(again.outcomes) == [(TASK, 1)]
    again.add(2, DONE)
    again.close()
    assert len(EpisodeLog(tmp_path, FACTS, resume=True).outcomes) == 2


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["{}"], "episodes of another evaluation: checkpoint was None, is 'a'; parameters was None"),
        ([json.dumps(FACTS), '{"task": "juggle", "seed": 1}'], "knows no task 'juggle'"),
        ([json.dumps(FACTS), '{"seed": 1}'], "expected the episodes of an evaluation, got KeyError"),
        (["nonsense"], "expected the episodes of an evaluation"),
    ],
)
def test_other_episodes_are_not_counted_with_them(tmp_path: Path, lines: list[str], expected: str) -> None:
    (tmp_path / EPISODES_FILE).write_text("\n".join(lines) + "\n")
    with pytest.raises(DitPolicyError) as raised:
        EpisodeLog(tmp_path, FACTS, resume=True)
    assert expected in str(raised.value)
    assert (tmp_path / EPISODES_FILE).read_text() == "\n".join(lines) + "\n", "nothing is lost"


def test_an_interrupted_evaluation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carried_out = []

    def run_trial(sim, task, act, others, fps) -> Outcome:
        if len(carried_out) == 3:
            raise KeyboardInterrupt
        carried_out.append((task.instruction, act))
        act(sim)  # is filmed
        return Outcome(task, task == TASK, 1.0, ())

    monkeypatch.setattr(evaluate, "run_trial", run_trial)
    tasks = [Touch("left", "red").instruction, TASK.instruction]
    asked = ["--actor", "still", "--episodes", "3", "--tasks", *tasks, "--output", str(tmp_path)]
    asked += ["--videos", "1"]
    assert evaluate.main(asked) == 130 and not (tmp_path / "summary.json").exists()
    carried_out.clear()
    assert evaluate.main([*asked, "--resume", "--seed", "5"]) == 1, "of other scenes"
    assert evaluate.main([*asked, "--resume"]) == 0
    assert [task for task, _ in carried_out] == [tasks[1], tasks[0], tasks[1]]
    found = json.loads((tmp_path / "summary.json").read_text())
    assert [each["episodes"] for each in found["tasks"]] == [3, 3]
    assert [each["successes"] for each in found["tasks"]] == [0, 3]
    assert len(found["videos"]) == 1, "one failure was filmed before, and is not filmed again"
    carried_out.clear()
    assert evaluate.main([*asked, "--resume"]) == 0 and not carried_out, "nothing is missing"
