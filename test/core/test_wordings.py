# SPDX-License-Identifier: Apache-2.0
"""Which sentences are understood, by a classifier with known weights, and its file."""

from pathlib import Path

import numpy as np
import pytest

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.wordings import WORDINGS_FILE, WordingModel, alternatives_of, features_of, words_of

LEFT, RIGHT = "lift the red cube with the left arm", "lift the red cube with the right arm"
OTHER = "lift the blue cube with the left arm"


def model() -> WordingModel:
    """Left, right, red and blue count; grab and block are known words that say nothing."""
    vocabulary = ("left", "right", "red", "blu", "grab", "lift", "block", "cub", "arm", "the", "with", "or")
    weights = np.zeros((len(vocabulary), 3), np.float32)
    weights[0] = [4, -4, 4]
    weights[1] = [-4, 4, -4]
    weights[2] = [3, 3, -3]
    weights[3] = [-3, -3, 3]
    return WordingModel((LEFT, RIGHT, OTHER), vocabulary, weights, np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Lift the RED cube, please!", ["lift", "the", "red", "cub", "pleas"]),
        ("pushes pushing pushed push", ["push"] * 4),
        ("grabbing grabs grab", ["grab"] * 3),
        ("slides sliding slide", ["slid"] * 3),
        ("press pass ring red its", ["press", "pass", "ring", "red", "its"]),
        ("right-hand", ["right", "hand"]),
        ("don't, I'd let's", ["don't", "i", "d", "let", "s"]),
        ("hébe die Würfel", ["héb", "die", "würfel"]),
        ("... !", []),
    ],
)
def test_words_come_without_capitals_punctuation_and_endings(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_neighbouring_words_are_features_too() -> None:
    assert features_of("to red to red") == ["to", "red", "to red", "red to"]
    assert features_of("To the left, please!") == ["to", "left", "to left"], "articles are left out"
    assert features_of("") == []


def test_alternatives_are_the_words_by_which_two_instructions_differ() -> None:
    assert alternatives_of((LEFT, RIGHT, OTHER)) == {
        ("left", "right"), ("right", "left"), ("red", "blu"), ("blu", "red"),
    }  # fmt: skip
    assert alternatives_of(("open the door", "close every door", "open")) == frozenset()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (LEFT, LEFT),
        ("grab red, left", LEFT),
        ("could you please grab the red block with your right arm", RIGHT),
        ("BLUE... left!", OTHER),
    ],
)
def test_a_clear_sentence_is_understood(text: str, meant: str) -> None:
    found = model().understand(text)
    assert found.meant == meant and found.nearest[0] == meant and found.doubt == ""
    assert 0.5 < found.probability <= 1.0


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("don't lift the red cube with the left arm", 'no wording of the training has "don\'t"'),
        ("lift the yellow cube with the left arm", "no wording of the training has 'yellow'"),
        ("lift the red cube with the left or right arm", "'right' would make another instruction of it"),
        ("lift the red or the blue cube with the left arm", "'blue' would make another instruction of it"),
        ("lift the red cube", "does not say clearly which"),
        ("please", "does not say clearly which"),
        ("", "does not say clearly which"),
        ("is the red cube with the left arm", "begins like a question"),
    ],
)
def test_what_is_not_clear_is_not_guessed(text: str, doubt: str) -> None:
    found = model().understand(text)
    assert found.meant is None and found.probability == 0.0
    assert doubt in found.doubt
    familiarity = model().familiarity(text)
    assert not familiarity.is_familiar and familiarity.meant is None and doubt in familiarity.describe()


def test_a_model_is_written_and_read(tmp_path: Path) -> None:
    assert WordingModel.read(tmp_path) is None
    model().write(tmp_path)
    read = WordingModel.read(tmp_path)
    assert read is not None and read.instructions == (LEFT, RIGHT, OTHER)
    assert read.vocabulary == model().vocabulary and np.array_equal(read.weights, model().weights)
    assert read.understand("grab red, left").meant == LEFT
    assert [path.name for path in tmp_path.iterdir()] == [WORDINGS_FILE], "no temporary file is left"


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_damaged_file_is_refused_with_the_remedy(keep: int, tmp_path: Path) -> None:
    model().write(tmp_path)
    path = tmp_path / WORDINGS_FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"wordings\.npz: it is damaged.*teach_wordings"):
        WordingModel.read(tmp_path)


def test_a_file_with_pickled_objects_runs_none_of_them(tmp_path: Path) -> None:
    np.savez(tmp_path / WORDINGS_FILE, instructions=np.array([object()]), vocabulary=np.array(["a"]))
    with pytest.raises(CheckpointError, match="damaged"):
        WordingModel.read(tmp_path)


def test_contradicting_shapes_and_values_are_refused() -> None:
    whole = model()
    with pytest.raises(ValueError, match=r"expected weights \(12, 2\)"):
        WordingModel(whole.instructions[:2], whole.vocabulary, whole.weights, whole.bias)
    with pytest.raises(ValueError, match="finite"):
        WordingModel(whole.instructions, whole.vocabulary, whole.weights * np.nan, whole.bias)
    with pytest.raises(ValueError, match="once"):
        WordingModel(whole.instructions, ("a",) * 12, whole.weights, whole.bias)


def test_the_model_of_fewer_instructions() -> None:
    few = model().among((OTHER, "another one", RIGHT))
    assert few.instructions == (RIGHT, OTHER)
    assert few.understand("grab blue, left").meant == OTHER
