# SPDX-License-Identifier: Apache-2.0
"""An evaluation takes hours; an interrupt must not lose its episodes."""

import json
from pathlib import Path

import pytest

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.report import EpisodeLog
from dit_policy_ros.evaluation.report._episode_log import EPISODES_FILE
from dit_policy_ros.sim.tasks import Lift, Outcome

TASK = Lift("left", "red")
DONE = Outcome(TASK, True, 2.5, (TASK.instruction,), holds=1, hold_reasons=("nan",), jerk=3.0)
FACTS = {"checkpoint": "a", "parameters": ("x:=1",)}


def test_finished_episodes_are_read_back(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, FACTS, resume=False)
    log.add(7, DONE)
    log.close()
    again = EpisodeLog(tmp_path, FACTS, resume=True)
    assert again.outcomes == {(TASK, 7): DONE}
    again.add(8, DONE)
    again.close()
    assert len(EpisodeLog(tmp_path, FACTS, resume=True).outcomes) == 2
    assert not EpisodeLog(tmp_path, FACTS, resume=False).outcomes, "started over"
    assert not EpisodeLog(tmp_path, FACTS, resume=True).outcomes


@pytest.mark.parametrize("resume", [True, False])
def test_two_evaluations_cannot_write_to_one_log(tmp_path: Path, resume: bool) -> None:
    log = EpisodeLog(tmp_path, FACTS, resume=False)
    log.add(7, DONE)
    with pytest.raises(DitPolicyError, match="another evaluation is writing to it"):
        EpisodeLog(tmp_path, FACTS, resume=resume)
    log.close()
    assert list(EpisodeLog(tmp_path, FACTS, resume=True).outcomes) == [(TASK, 7)], "nothing is lost"


def test_the_episode_of_an_incomplete_line_is_run_again(tmp_path: Path) -> None:
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
def test_episodes_of_another_evaluation_are_refused(tmp_path: Path, lines: list[str], expected: str) -> None:
    (tmp_path / EPISODES_FILE).write_text("\n".join(lines) + "\n")
    with pytest.raises(DitPolicyError) as raised:
        EpisodeLog(tmp_path, FACTS, resume=True)
    assert expected in str(raised.value)
    assert (tmp_path / EPISODES_FILE).read_text() == "\n".join(lines) + "\n", "nothing is lost"
