# SPDX-License-Identifier: Apache-2.0
"""A whole evaluation in lock-step, from one end of the scale to the other, and across an interrupt."""

import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from tiny_policy import save_tiny

from dit_policy_ros.core.errors import DitPolicyError, SimulationError, TaskError
from dit_policy_ros.evaluation.episodes import Evaluation, EvaluationSettings, _lockstep_episodes
from dit_policy_ros.evaluation.episodes._node_parameters import PARAMETERS_FILE, NodeParameters
from dit_policy_ros.evaluation.episodes._plan import plan_episodes
from dit_policy_ros.evaluation.report import confusion_lines
from dit_policy_ros.evaluation.report._results import NOTHING
from dit_policy_ros.sim.tasks import Lift, Outcome, Touch

TASK_LIST = (Touch("left", "red"), Lift("left", "red"))
TASKS = tuple(task.instruction for task in TASK_LIST)


def run(settings: EvaluationSettings) -> tuple[list[Outcome], dict]:
    """Evaluate; returns the outcomes and the content of summary.json."""
    with Evaluation(settings) as evaluation:
        for _ in evaluation.run():
            pass
        path = evaluation.write_report()
        return evaluation.outcomes, json.loads(path.read_text())


@pytest.mark.parametrize(
    ("actor", "rate"), [pytest.param("operator", 1.0, marks=pytest.mark.slow), ("still", 0.0)]
)
def test_the_operator_always_succeeds_and_a_robot_at_rest_never(
    tmp_path: Path, actor: str, rate: float
) -> None:
    (tmp_path / "sheet.jpg").write_text("of an earlier evaluation")
    settings = EvaluationSettings(tmp_path, actor=actor, episodes=2, tasks=TASKS, max_videos=1)
    outcomes, found = run(settings)
    assert found["success_rate"] == rate and [each["instruction"] for each in found["tasks"]] == list(TASKS)
    assert found["mode"] == "lock-step" and (tmp_path / "table.md").read_text().count("\n") == 4
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("success.png", "confusion.png"))
    assert len(found["videos"]) == (2 if actor == "still" else 0), "one failure of each task is kept"
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    if actor == "operator":
        assert sheet.shape == (2 * (20 + 120), 7 * 160, 3), "a row of frames under the name of each task"
        assert np.abs(sheet[20:140, :160].astype(int) - sheet[20:140, -160:]).max() > 100, "the arm moved"
        assert not list(confusion_lines(outcomes))
    if actor == "still":
        assert sheet is None, "nothing succeeded"
        with av.open(found["videos"][0]) as video:
            seconds = float(video.streams.video[0].duration * video.streams.video[0].time_base)
        assert seconds == pytest.approx(Touch.time_limit, abs=0.2)
        assert found["confusion"] == {task: {NOTHING: 2} for task in TASKS}
        assert next(confusion_lines(outcomes)) == f"asked to {TASKS[0]}: 2 x (nothing)"


def test_an_interrupted_evaluation_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def run_trial(sim, task, act, others, fps) -> Outcome:
        if len(tried) == 3:
            raise KeyboardInterrupt
        tried.append(task.instruction)
        act(sim)  # this is filmed
        return Outcome(task, task == TASK_LIST[1], 1.0, ())

    monkeypatch.setattr(_lockstep_episodes, "run_trial", run_trial)
    settings = EvaluationSettings(tmp_path, actor="still", episodes=3, tasks=TASKS, max_videos=1)
    with pytest.raises(KeyboardInterrupt):
        run(settings)
    assert not (tmp_path / "summary.json").exists()
    tried.clear()
    with pytest.raises(DitPolicyError, match="episodes of another evaluation: first_seed was 10000, is 5"):
        run(replace(settings, resume=True, seed=5))
    _, found = run(replace(settings, resume=True))
    assert tried == [TASKS[1], TASKS[0], TASKS[1]]
    assert [each["episodes"] for each in found["tasks"]] == [3, 3]
    assert [each["successes"] for each in found["tasks"]] == [0, 3]
    assert len(found["videos"]) == 1, "one failure was filmed before the interrupt, and no second one"
    tried.clear()
    run(replace(settings, resume=True))
    assert not tried, "no episode is missing"


def test_in_lock_step_tasks_share_scenes_and_over_ros_they_do_not(tmp_path: Path) -> None:
    touch, lift = TASK_LIST
    settings = EvaluationSettings(tmp_path, episodes=2, seed=7)
    assert plan_episodes(settings, TASK_LIST) == [(touch, 7), (lift, 8), (touch, 9), (lift, 10)]
    settings = replace(settings, lock_step=True)
    assert plan_episodes(settings, TASK_LIST) == [(touch, 7), (lift, 7), (touch, 8), (lift, 8)]


def test_node_parameters_are_those_of_the_command_line(tmp_path: Path) -> None:
    settings = EvaluationSettings(
        tmp_path,
        checkpoint=tmp_path,
        device="cpu",
        num_inference_steps=2,
        guidance_scale=1.5,
        parameters=("replan_interval:=0.2",),
    )
    assert settings.node_parameters() == {
        "checkpoint": str(tmp_path),
        "device": "cpu",
        "num_inference_steps": "2",
        "guidance_scale": "1.5",
        "replan_interval": "0.2",
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("replan_interval=0.2", ["expected NAME:=VALUE, got 'replan_interval=0.2'"]),
        ("foo", ["expected NAME:=VALUE, got 'foo'"]),
        ("velocity_scal:=0.1", ["no parameter 'velocity_scal'", "Did you mean 'velocity_scale'"]),
        ("velocity_scale:=5", ["velocity_scale:=5", "a number from 0.01 to 1"]),
        ("velocity_scale:=slow", ["velocity_scale:=slow", "a number"]),
        ("num_threads:=1.5", ["a whole number"]),
        ("dry_run:=maybe", ["true or false"]),
        ("ensemble.mode:=mean", ["one of: act, newest, none"]),
        ("ensemble.never_averaged:=grippers", ["a list of texts"]),
        ("checkpoint:=other", ["use --checkpoint"]),
        ("guidance_scale:=2.0", ["use --guidance-scale"]),
    ],
)
def test_a_wrong_parameter_is_found_before_the_checkpoint_is_loaded(
    tmp_path: Path, given: str, words: list[str]
) -> None:
    settings = EvaluationSettings(tmp_path / "out", checkpoint=Path("nowhere"), parameters=(given,))
    with pytest.raises(DitPolicyError) as caught:
        Evaluation(settings)
    for word in ["--parameter cannot be used", *words]:
        assert word in str(caught.value)


def test_parameters_that_the_node_takes_are_accepted(tmp_path: Path) -> None:
    given = {
        "velocity_scale": "1",
        "num_threads": "0x2",
        "dry_run": "y",
        "ensemble.mode": "newest",
        "ensemble.never_averaged": "[grippers, left_joint_1]",
        "limits.left_joint_1.velocity": "1.0",
    }
    asked = tuple(f"{name}:={text}" for name, text in given.items())
    assert EvaluationSettings(tmp_path, parameters=asked).asked_parameters() == given


@pytest.mark.parametrize("change", [{"lock_step": True}, {"actor": "operator"}])
def test_lock_step_has_no_node_for_parameters(tmp_path: Path, change: dict) -> None:
    settings = EvaluationSettings(tmp_path, parameters=("velocity_scale:=0.1",), **change)
    with pytest.raises(DitPolicyError, match="there is no policy node in lock-step"):
        Evaluation(settings)


def test_episodes_with_other_parameters_are_not_counted_together(tmp_path: Path) -> None:
    first = NodeParameters(tmp_path, resume=False)
    assert first.values is None
    first.add({"velocity_scale": 1.0, "checkpoint": "/a", "ensemble.never_averaged": ["grippers"]})
    again = NodeParameters(tmp_path, resume=True)
    assert again.values == first.values
    again.add({"velocity_scale": 1.0, "checkpoint": "/b", "ensemble.never_averaged": ["grippers"]})
    with pytest.raises(DitPolicyError, match=r"velocity_scale was 1\.0, is 0\.1.*--resume"):
        again.add({"velocity_scale": 0.1, "checkpoint": "/b", "ensemble.never_averaged": ["grippers"]})
    over = NodeParameters(tmp_path, resume=False)
    over.add({"velocity_scale": 0.1})
    assert NodeParameters(tmp_path, resume=True).values == {"velocity_scale": 0.1}
    (tmp_path / PARAMETERS_FILE).write_text("{")
    with pytest.raises(DitPolicyError, match="expected a node's parameters"):
        NodeParameters(tmp_path, resume=True)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DitPolicyError, match="looked for a folder"):
        Evaluation(EvaluationSettings(tmp_path / "out", checkpoint=Path("nowhere")))
    with pytest.raises(TaskError, match="knows no task 'juggle'"):
        Evaluation(EvaluationSettings(tmp_path / "out", actor="operator", tasks=("juggle",)))
    tiny = save_tiny(tmp_path / "tiny")
    with pytest.raises(DitPolicyError, match="no joint is called 'a'"):
        Evaluation(EvaluationSettings(tmp_path / "out", checkpoint=tiny))
    (tiny / "dit_policy_ros.json").unlink()  # a checkpoint without names
    with pytest.raises(SimulationError, match="unknown camera 'cam0'; the scene has"):
        run(EvaluationSettings(tmp_path / "out", checkpoint=tiny, lock_step=True, tasks=TASKS))
