# SPDX-License-Identifier: Apache-2.0
"""`dit_policy evaluate`: figures that can be trusted, from the one end of the scale to the other."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from small_robot import TASKS, tiny_checkpoint
from tiny_policy import save_tiny

from dit_policy_ros.cli.evaluate import main
from dit_policy_ros.evaluation.episodes._by_nodes import rms_jerk
from dit_policy_ros.evaluation.report import by_task, confusion
from dit_policy_ros.evaluation.report._results import NOTHING, markdown, summary, wilson
from dit_policy_ros.sim.robot import JOINTS
from dit_policy_ros.sim.tasks import HandOver, Lift, Outcome, Push, Task, Touch, suite

RED, BLUE = Lift("left", "red"), Lift("left", "blue")


def outcome(task: Lift, did: tuple[str, ...], seconds: float = 3.0) -> Outcome:
    return Outcome(task, task.instruction in did, seconds, did)


OUTCOMES = [
    outcome(RED, (RED.instruction,), 4.0),
    outcome(RED, (RED.instruction, "touch the red cube with the left arm"), 6.0),
    outcome(RED, (BLUE.instruction,)),
    outcome(RED, ()),
    outcome(BLUE, (RED.instruction, "touch the red cube with the left arm")),
]


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe 1998 (Statistics in Medicine 17), table I, method 3."""
    expected = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611)}
    for (successes, episodes), interval in (expected | {(1, 29): (0.0061, 0.1718)}).items():
        assert wilson(successes, episodes) == pytest.approx(interval, abs=5e-5)


def test_results_are_counted_by_task() -> None:
    red, blue = by_task(OUTCOMES)
    assert (red.instruction, red.episodes, red.successes, red.success_rate) == (RED.instruction, 4, 2, 0.5)
    assert red.wrong_rate == 0.25 and red.seconds == 5.0 and red.ci95 == wilson(2, 4)
    assert blue.success_rate == 0.0 and blue.wrong_rate == 1.0 and blue.seconds is None
    assert "| 4 | 50% | 15% to 85% | 25% | 5.0 |  | 0 |" in markdown([red, blue])


def test_the_confusion_matrix_says_what_was_done_instead() -> None:
    matrix = confusion(OUTCOMES)
    assert matrix[RED.instruction] == {RED.instruction: 2, BLUE.instruction: 1, NOTHING: 1}
    assert matrix[BLUE.instruction] == {RED.instruction: 1, "touch the red cube with the left arm": 1}


@pytest.mark.parametrize(
    ("asked", "did", "instead"),
    [
        (RED, (Touch("left", "red"),), ()),
        (RED, (Touch("right", "red"), Touch("left", "red")), (Touch("right", "red"),)),
        (RED, (Touch("left", "blue"),), (Touch("left", "blue"),)),
        (HandOver("red"), (Touch("right", "red"), Lift("right", "red")), ()),
        (HandOver("red"), (Lift("right", "blue"),), (Lift("right", "blue"),)),
        (Push("red", "left"), (Touch("left", "red"),), ()),
        (Push("red", "left"), (Push("red", "right"),), (Push("red", "right"),)),
        (Touch("left", "red"), (Touch("right", "red"),), (Touch("right", "red"),)),
    ],
)
def test_a_step_of_the_asked_task_is_not_another_task(asked: Task, did: tuple, instead: tuple) -> None:
    found = Outcome(asked, False, 3.0, tuple(task.instruction for task in did))
    assert found.instead == tuple(task.instruction for task in instead)
    assert (by_task([found])[0].wrong_rate > 0) is bool(instead)
    assert confusion([found])[asked.instruction] == dict.fromkeys(found.instead or (NOTHING,), 1)


def test_the_summary_adds_up() -> None:
    found = summary(OUTCOMES, actor="policy")
    assert found["episodes"] == 5 and found["success_rate"] == 0.4 and found["wrong_rate"] == 0.4
    assert found["actor"] == "policy" and len(found["tasks"]) == 2
    assert set(found["tasks"][0]) >= {"instruction", "episodes", "success_rate", "ci95"}


def test_jerk_is_the_third_derivative() -> None:
    """Of sin(w t) and 2 sin(w t) the root mean squares are w^3 / sqrt(2) and twice that."""
    w, dt = 2 * np.pi, 0.01
    times = np.arange(101) * dt
    samples = [(round(t * 1e9), [w * np.cos(w * t), 2 * w * np.cos(w * t)]) for t in times]
    expected = w**3 * np.sqrt((1 + 4) / 2 / 2)
    assert rms_jerk(samples) == pytest.approx(expected, rel=0.02)
    with_gap = samples[:40] + samples[60:]  # what lies across the gap does not count
    assert rms_jerk(with_gap) == pytest.approx(expected, rel=0.2)
    assert rms_jerk(samples[:2]) is None


@pytest.mark.slow  # test_closed_loop.py goes this way, too
def test_the_real_nodes_carry_out_an_episode(tmp_path: Path, start_process, wait_for) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS)
    command = ["evaluate", "--checkpoint", checkpoint, "--episodes", "1", "--tasks", TASKS[0], "--seed", "7"]
    command += ["--output", tmp_path / "out", "--parameter", "max_tracking_error:=10.0"]
    child = start_process("evaluate", "dit_policy_ros.cli.main", *map(str, command))
    wait_for(lambda: not child.alive, 150, "the evaluation ends by itself")
    assert child.process.returncode == 0
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    (task,) = found["tasks"]
    assert found["mode"] == "ros" and found["first_seed"] == 7
    assert task["instruction"] == TASKS[0] and task["episodes"] == 1
    assert task["jerk"] > 0, "the arms moved"
    assert (tmp_path / "out" / "logs" / "policy.log").read_text()


@pytest.mark.parametrize(("actor", "rate"), [("operator", 1.0), ("still", 0.0)])
def test_the_ends_of_the_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], actor: str, rate: float
) -> None:
    tasks = [Touch("left", "red").instruction, RED.instruction]
    arguments = ["--actor", actor, "--episodes", "2", "--tasks", *tasks, "--output", str(tmp_path)]
    arguments += ["--videos", "1"]
    (tmp_path / "sheet.jpg").write_text("of an earlier evaluation")
    assert main(arguments) == 0
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["success_rate"] == rate and [each["instruction"] for each in found["tasks"]] == tasks
    assert found["mode"] == "lock-step" and (tmp_path / "table.md").read_text().count("\n") == 4
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("success.png", "confusion.png"))
    assert len(found["videos"]) == (2 if actor == "still" else 0), "one failure of each task is kept"
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    if actor == "operator":
        assert sheet.shape == (2 * (20 + 120), 7 * 160, 3), "a row of pictures under the name of each task"
        assert np.abs(sheet[20:140, :160].astype(int) - sheet[20:140, -160:]).max() > 100, "the arm moved"
    if actor == "still":
        assert sheet is None, "nothing succeeded"
        with av.open(found["videos"][0]) as video:
            seconds = float(video.streams.video[0].duration * video.streams.video[0].time_base)
        assert seconds == pytest.approx(Touch.time_limit, abs=0.2)
        assert found["confusion"] == {task: {NOTHING: 2} for task in tasks}
        assert f"asked to {tasks[0]}: 2 x (nothing)" in capsys.readouterr().out


def test_every_task_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-tasks"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "hand the" in shown and "done when" in shown and len(suite()) == 21


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--checkpoint", "nowhere"], "looked for a folder"),
        (["--actor", "operator", "--tasks", "juggle"], "knows no task 'juggle'"),
        (["--lock-step", "--checkpoint", "CHECKPOINT"], "unknown camera 'cam0'; the scene has"),
    ],
)
def test_a_mistake_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    known = {"CHECKPOINT": lambda: save_tiny(tmp_path / "c")}
    given = [str(known[each]()) if each in known else each for each in arguments]
    assert main([*given, "--output", str(tmp_path / "out")]) == 1
    assert expected in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--episodes", "0"])
