# SPDX-License-Identifier: Apache-2.0
"""Instructions that are far from all of the training: refused with the nearest ones, or followed."""

import json

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.core.errors import TaskError
from dit_policy_ros.core.policy_interface import Familiarity
from dit_policy_ros.ros.inference_link import InferenceError, UnfamiliarTaskError, judge_instruction
from dit_policy_ros.ros.inference_protocol import familiarity_from, fill_familiarity
from dit_policy_ros.srv import SetTask

KNOWN = ("touch the red cube", "push the button")
FAR = Familiarity(0.31, 0.8, ("push the button",))
NEAR = Familiarity(0.9, 0.8, ("touch the red cube",))
MEANT = Familiarity(0.97, 0.5, KNOWN, KNOWN[1])
UNCLEAR = Familiarity(0.0, 0.5, KNOWN[:1], None, "no wording of the training has 'cake'")
UNCALIBRATED = Familiarity(0.4, None, ())


def never(_: str) -> Familiarity | None:
    raise AssertionError("nothing must be asked")


def test_known_instructions_are_taken_without_asking() -> None:
    judged = judge_instruction(KNOWN[1], KNOWN, "refuse", never)
    assert judged.is_known and judged.familiarity == Familiarity(1.0, None, (KNOWN[1],)) and not judged.note
    assert judge_instruction("anything", (), "refuse", never).familiarity is None


def test_an_unfamiliar_instruction_is_refused_with_the_nearest_known_ones() -> None:
    with pytest.raises(UnfamiliarTaskError) as raised:
        judge_instruction("bake a cake", KNOWN, "refuse", lambda _: FAR)
    assert raised.value.nearest == ("push the button",)
    for part in ("'bake a cake' is unlike", "0.31 (familiar from 0.80)", "unknown_tasks to 'warn'"):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("mode", "found", "is_known", "note"),
    [
        ("warn", FAR, False, "unlike every instruction of the training: similarity 0.31"),
        ("refuse", NEAR, True, "in other words than the training's: similarity 0.90"),
        (
            "refuse",
            UNCALIBRATED,
            False,
            "the checkpoint was not trained on it; it knows: 'touch the red cube'",
        ),
        ("refuse", None, False, "the checkpoint was not trained on it"),
    ],
)
def test_other_instructions_are_followed_and_the_answer_says_what_they_are(
    mode: str, found: Familiarity | None, is_known: bool, note: str
) -> None:
    judged = judge_instruction("bake a cake", KNOWN, mode, lambda _: found)
    assert judged.is_known is is_known and judged.familiarity == found and note in judged.note


def test_an_inference_node_that_does_not_answer_is_named() -> None:
    def silent(_: str) -> Familiarity | None:
        raise InferenceError("/inference does not say how familiar it is")

    judged = judge_instruction("bake a cake", KNOWN, "refuse", silent)
    assert not judged.is_known and "/inference does not say how familiar it is" in judged.note


def test_blank_instructions_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(TaskError, match="only blanks"):
        judge_instruction("  ", KNOWN, "refuse", never)


def test_what_is_meant_in_other_words_is_what_the_policy_is_given() -> None:
    judged = judge_instruction("press it", KNOWN, "refuse", lambda _: MEANT)
    assert judged.task == KNOWN[1] and judged.is_known and judged.familiarity == MEANT
    assert judged.note == f" (said as 'press it': understood as {KNOWN[1]!r} with a probability of 0.97)"
    for other in ("bake a cake", *KNOWN):  # everything else stays as it was said
        assert judge_instruction(other, KNOWN, "warn", lambda _: FAR).task == other


def test_what_is_not_clear_is_refused_with_the_reason() -> None:
    with pytest.raises(
        UnfamiliarTaskError, match="'bake a cake' is not understood: no wording of the training"
    ):
        judge_instruction("bake a cake", KNOWN, "refuse", lambda _: UNCLEAR)
    judged = judge_instruction("bake a cake", KNOWN, "warn", lambda _: UNCLEAR)
    assert judged.task == "bake a cake" and not judged.is_known and "'cake'" in judged.note


def test_a_meaning_that_the_checkpoint_does_not_know_is_not_followed() -> None:
    strange = Familiarity(0.97, 0.5, ("fly",), "fly")
    assert judge_instruction("go up", KNOWN, "refuse", lambda _: strange).task == "go up"


@pytest.mark.parametrize("found", [None, FAR, NEAR, UNCALIBRATED, MEANT, UNCLEAR])
def test_a_judgement_survives_the_way_between_the_nodes(found: Familiarity | None) -> None:
    assert familiarity_from(fill_familiarity(SetTask.Response(), found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "high",
        "{}",
        "[1]",
        json.dumps({"similarity": "1", "threshold": None}),
        '{"similarity": NaN, "threshold": 1}',
    ],
)
def test_a_malformed_judgement_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        familiarity_from(SetTask.Response(success=True, message=text))
