# SPDX-License-Identifier: Apache-2.0
"""Files of wordings: what they make of an instruction, and what they are refused for."""

from pathlib import Path

import pytest

from dit_policy_ros.core.share import share_directory
from dit_policy_ros.sim.tasks import suite
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.wordings import read_wordings

TASKS = ("touch the red cube with the left arm", "touch the blue cube with the right arm")


def write(folder: Path, text: str) -> Path:
    path = folder / "wordings.yaml"
    path.write_text(text)
    return path


def test_lists_and_templates_make_wordings_and_the_instruction_comes_first(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
wordings:
  touch the red cube with the left arm: [go there]
synonyms:
  touch: [touch, tap]
  blue: [blue, azure]
  please: ["", please]
templates:
  - match: touch the {colour} cube with the {side} arm
    say: ["{please} {touch} the {colour} block, {side} hand"]
""",
    )
    found = read_wordings(path).of_all(TASKS)
    assert found[TASKS[0]] == (
        TASKS[0],
        "go there",
        "touch the red block, left hand",
        "tap the red block, left hand",
        "please touch the red block, left hand",
        "please tap the red block, left hand",
    )
    assert len(found[TASKS[1]]) == 9 and "please tap the azure block, right hand" in found[TASKS[1]]


def test_a_name_that_comes_twice_stands_for_one_word(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "templates:\n- {match: 'put {a} on {a}', say: ['stack {a}']}\n"
        "- {match: 'put {a} on {b}', say: ['x {b}']}\n",
    )
    wordings = read_wordings(path)
    assert wordings.of("put it on it") == ("put it on it", "stack it", "x it")
    assert wordings.of("put it on them") == ("put it on them", "x them")
    assert wordings.of("put it on them now") == ("put it on them now",)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["the file: expected a mapping with wordings, synonyms, templates"]),
        ("- a", ["the file: expected a mapping"]),
        ("wording: {a: [b]}", ["the unknown name 'wording'", "Did you mean 'wordings'?"]),
        ("wordings: {a: b}", ["wordings: 'a': expected a list of texts with at least one, got 'b'"]),
        ("wordings: {a: []}", ["at least one"]),
        ("wordings: {a: [1]}", ["wordings: 'a': expected texts, got 1 (int). Put it into quotes"]),
        ("wordings: {1: [a]}", ["texts as keys"]),
        ("wordings: {a: [' ']}", ["only blanks"]),
        ("wordings: {a: [b], a: [c]}", ["the key 'a' comes twice"]),
        ("synonyms: [a]", ["synonyms: expected a mapping"]),
        ("templates: {a: b}", ["templates: expected a list"]),
        ("templates: [{match: a}]", ["templates[0]: expected a mapping with match, say and nothing else"]),
        ("templates: [{match: {a}, say: [b]}]", ["templates[0].match: expected a text"]),
        (
            "templates: [{match: 'lift {thing}', say: ['raise {thng}']}]",
            ["templates[0].say: {thng}", "one of: thing", "Did you mean 'thing'?"],
        ),
        ("templates: [{match: 'lift {thing', say: [b]}]", ["each { closed by a }"]),
        ("templates: [{match: 'lift {a b}', say: [b]}]", ["a name of letters and digits"]),
        ("wordings: [", ["is not readable YAML"]),
        ("a: !!python/object:os.system x", ["is not readable YAML"]),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    with pytest.raises(TrainingError) as raised:
        read_wordings(write(tmp_path, text))
    for message in messages:
        assert message in str(raised.value)


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"--paraphrases: no such file: .*nothing\.yaml"):
        read_wordings(tmp_path / "nothing.yaml")


def test_instructions_that_the_demonstrations_lack_are_refused(tmp_path: Path) -> None:
    text = "wordings: {touch the red cub with the left arm: [a]}\ntemplates: [{match: 'fold {it}', say: [b]}]"
    with pytest.raises(TrainingError) as raised:
        read_wordings(write(tmp_path, text)).of_all(TASKS)
    assert "Did you mean 'touch the red cube with the left arm'?" in str(raised.value)
    assert "templates[0].match" in str(raised.value)


def test_one_wording_cannot_mean_two_things(tmp_path: Path) -> None:
    path = write(tmp_path, "templates: [{match: 'touch the {c} cube with the {s} arm', say: ['touch it']}]")
    with pytest.raises(TrainingError, match=r"'touch it' would mean both 'touch the red .*' and 'tou"):
        read_wordings(path).of_all(TASKS)


def test_too_many_wordings_are_refused(tmp_path: Path) -> None:
    many = ", ".join(f"w{i}" for i in range(20))
    text = f"synonyms: {{a: [{many}], b: [{many}], c: [{many}]}}\n"
    text += "templates: [{match: 'go {x}', say: ['{a} {b} {c} {x}']}]"
    with pytest.raises(TrainingError, match="has more than 5000 wordings"):
        read_wordings(write(tmp_path, text)).of("go on")


def test_the_shipped_wordings_cover_every_simulated_task_and_are_unambiguous() -> None:
    shipped = read_wordings(share_directory() / "config" / "wordings" / "cube_tasks.yaml")
    instructions = tuple(task.instruction for task in suite())
    found = shipped.of_all(instructions)
    assert all(len(wordings) > 40 for wordings in found.values())


def test_the_unseen_wordings_share_no_sentence_with_those_of_training() -> None:
    folder = share_directory() / "config" / "wordings"
    instructions = tuple(task.instruction for task in suite())
    seen, unseen = (
        read_wordings(folder / name).of_all(instructions)
        for name in ("cube_tasks.yaml", "cube_tasks_unseen.yaml")
    )
    for instruction in instructions:
        assert len(unseen[instruction]) > 5
        assert set(seen[instruction]) & set(unseen[instruction]) == {instruction}
