# SPDX-License-Identifier: Apache-2.0
"""What is understood after a fit, and what the shipped checkpoint understands of words that no fit used."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from study_wordings import judge, read_people
from tiny_policy import save_tiny, tiny_config

from dit_policy_ros.cli.main import main as dit_policy
from dit_policy_ros.core.share import default_checkpoint, share_directory
from dit_policy_ros.core.wordings import WORDINGS_FILE, WordingModel, features_of
from dit_policy_ros.sim.tasks import suite
from dit_policy_ros.training.wordings import fit_wordings

GRAMMAR = share_directory() / "config" / "wordings" / "cube_tasks.yaml"
DOORS = {
    "open the left door": ("open the left door", "pull the left door open", "left door, open it"),
    "open the right door": ("open the right door", "pull the right door open", "right door, open it"),
    "shut the left door": ("shut the left door", "close the left door", "left door, close it"),
    "shut the right door": ("shut the right door", "close the right door", "right door, close it"),
    "swap the cup from the right to the left door": ("carry the cup from the right to the left door",),
}


@pytest.fixture(scope="module")
def doors() -> WordingModel:
    return fit_wordings(DOORS)


def test_every_wording_of_the_fit_is_understood(doors: WordingModel) -> None:
    for instruction, wordings in DOORS.items():
        for text in (instruction, *wordings):
            assert doors.understand(text).meant == instruction, text


@pytest.mark.parametrize(
    "text",
    [
        "open the door",  # which one?
        "left door",  # what with it?
        "open the left door and shut the right door",
        "open the left and the right door",
        "carry the cup from the left to the right door",  # the other way round
        "never open the left door",
        "carry the cup from the right to the right door",
        "lock the left door",
    ],
)
def test_what_lacks_a_word_or_says_two_things_is_not_guessed(doors: WordingModel, text: str) -> None:
    assert doors.understand(text).meant is None


@pytest.mark.slow
def test_a_fit_is_the_same_each_time(doors: WordingModel) -> None:
    again = fit_wordings(DOORS)
    assert again.vocabulary == doors.vocabulary
    np.testing.assert_allclose(again.weights, doors.weights, atol=1e-4)


@pytest.mark.slow
def test_one_instruction_alone_is_understood() -> None:
    alone = fit_wordings({"go home": ("go home", "drive home")})
    assert alone.understand("drive home").meant == "go home"
    assert alone.understand("drive to the moon").meant is None


@pytest.mark.parametrize("wordings", [{}, {"go": ()}])
def test_nothing_to_fit_is_refused(wordings: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="at least one wording"):
        fit_wordings(wordings)


def test_the_shipped_checkpoint_understands_people_and_takes_nobody_for_another() -> None:
    """The figures of docs/training.md; the wordings are in no file of the fit."""
    model = WordingModel.read(default_checkpoint())
    assert model is not None and set(model.instructions) == {task.instruction for task in suite()}
    people, to_refuse = read_people()
    assert set(people) == set(model.instructions) and sum(map(len, people.values())) >= 80
    figures = judge(model)
    assert figures["understood"] >= 0.95 * figures["wordings"] and not figures["another_task"]
    assert figures["named_first"] == figures["wordings"]
    assert len(figures["not_refused"]) <= 2 and len(to_refuse) >= 60


def test_the_shipped_checkpoint_has_the_words_of_the_shipped_file() -> None:
    model = WordingModel.read(default_checkpoint())
    assert model is not None
    known = set(model.vocabulary)
    for name, synonyms in yaml.safe_load(GRAMMAR.read_text())["synonyms"].items():
        for text in synonyms:
            assert set(features_of(text)) <= known, (
                f"{name}: {text}: teach_wordings was not run after a change"
            )


def test_a_checkpoint_is_taught_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = save_tiny(tmp_path / "tiny", tiny_config(), known_tasks=tuple(DOORS))
    file = tmp_path / "wordings.yaml"
    file.write_text(yaml.safe_dump({"wordings": {key: list(value) for key, value in DOORS.items()}}))
    command = ["teach_wordings", str(folder), "--paraphrases", str(file)]
    assert dit_policy([*command, "--try", "please close the right door", "--try", "open the gate"]) == 0
    printed = capsys.readouterr().out
    assert "for 5 instructions" in printed and "'shut the right door'" in printed
    assert "'open the gate': no wording of the training has 'gate'" in printed
    read = WordingModel.read(folder)
    assert read is not None and read.understand("close the right door").meant == "shut the right door"


def test_a_checkpoint_that_lists_no_tasks_cannot_be_taught(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = save_tiny(tmp_path / "tiny", tiny_config(), known_tasks=())
    file = tmp_path / "wordings.yaml"
    file.write_text("wordings: {go: [drive]}")
    assert dit_policy(["teach_wordings", str(folder), "--paraphrases", str(file)]) == 1
    assert "does not list the tasks" in capsys.readouterr().err
    assert not (folder / WORDINGS_FILE).exists()


@pytest.mark.slow
def test_the_study_prints_what_is_understood(tmp_path: Path) -> None:
    study = Path(__file__).resolve().parents[3] / "bench" / "study_wordings.py"
    ran = subprocess.run(
        [sys.executable, str(study), "--output", str(tmp_path / "study")], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "understood: " in ran.stdout and (tmp_path / "study" / "summary.json").is_file()
