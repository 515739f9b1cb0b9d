# SPDX-License-Identifier: Apache-2.0
"""Success rates, intervals and the confusion matrix."""

import pytest

from dit_policy_ros.evaluation.report import confusion_matrix, results_by_task, wilson_interval
from dit_policy_ros.evaluation.report._plots import _by_family
from dit_policy_ros.evaluation.report._results import NOTHING, markdown_table, results_summary
from dit_policy_ros.sim.tasks import HandOver, Lift, Outcome, Push, Task, Touch

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


def test_wilsons_interval_has_the_published_values() -> None:
    """Newcombe 1998 (Statistics in Medicine 17), table I, method 3."""
    expected = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611)}
    for (successes, episodes), interval in (expected | {(1, 29): (0.0061, 0.1718)}).items():
        assert wilson_interval(successes, episodes) == pytest.approx(interval, abs=5e-5)


def test_results_are_counted_results_by_task() -> None:
    red, blue = results_by_task(OUTCOMES)
    assert (red.instruction, red.episodes, red.successes, red.success_rate) == (RED.instruction, 4, 2, 0.5)
    assert red.wrong_rate == 0.25 and red.seconds == 5.0 and red.ci95 == wilson_interval(2, 4)
    assert blue.success_rate == 0.0 and blue.wrong_rate == 1.0 and blue.seconds is None
    assert "| 4 | 50% | 15% to 85% | 25% | 5.0 |  | 0 |" in markdown_table([red, blue])


def test_the_confusion_matrix_says_what_was_done_instead() -> None:
    matrix = confusion_matrix(OUTCOMES)
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
    assert (results_by_task([found])[0].wrong_rate > 0) is bool(instead)
    assert confusion_matrix([found])[asked.instruction] == dict.fromkeys(found.instead or (NOTHING,), 1)


def test_the_summary_adds_up() -> None:
    found = results_summary(OUTCOMES, {"actor": "policy"})
    assert found["episodes"] == 5 and found["success_rate"] == 0.4 and found["wrong_rate"] == 0.4
    assert found["actor"] == "policy" and len(found["tasks"]) == 2
    assert set(found["tasks"][0]) >= {"instruction", "episodes", "success_rate", "ci95"}


def test_tasks_of_a_family_are_drawn_together() -> None:
    names = ["touch a", "lift a", "touch b", "(nothing)", "lift a", "lift b"]
    assert _by_family(names) == ["touch a", "touch b", "lift a", "lift b", "(nothing)"]
