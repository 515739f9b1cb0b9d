# SPDX-License-Identifier: Apache-2.0
"""What a person means who does not say an instruction as the demonstrations did.

A linear classifier over words and pairs of neighbouring words (Joulin et al. 2016, arXiv 1607.01759) names
the known instruction. The policy is then given that instruction itself. So other words cannot change what it
does, and what it understood can be shown. A sentence is not understood

- if it has a word that no wording has: nobody can say what "don't" or "yellow" would have changed;
- if it has a word that would make another instruction of the one that is meant, as "left" beside "right";
- if another instruction is nearly as likely, as without "left" or "right";
- if it begins like a question.

Shapes: V features, K known instructions.
"""

import itertools
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import Familiarity
from dit_policy_ros.core.problems import listing

WORDINGS_FILE = "wordings.npz"
"""In a checkpoint's folder. Without it an instruction is read as it is."""

THRESHOLD = 0.5
"""Probability from which an instruction may count as understood."""

MARGIN = 2.0
"""How many times likelier than any other it must be."""

HARMLESS = """
    a about across ahead along alright an and appreciate appreciated as at be been being bit buddy by can
    carefully color colored colour coloured could d dear do done execute for friend from gently get give
    go going gonna good got gotta great had has have hello hey hi i in inside into it its job just kindly
    let lets like little ll m madam make mate may me mind moment must my need needs next nice now of off
    ok okay on once onto over own pal perform please pls re robot s see shall should sir small so sure
    table thank thanks that the their them there these they this those time tiny to try u up us use using
    ve w wanna want wants we while will with would yes you your
"""
"""Words that change nothing of what is meant. They need not be in a wording."""

_QUESTIONS = frozenset(
    ("are", "did", "does", "how", "is", "was", "what", "when", "where", "which", "who", "why")
)
_NEAREST = 3
_WORD = re.compile(r"[^\W_]+n['’]t\b|[^\W_]+", re.UNICODE)  # don't is one word, let's are two
_ENDINGS = ("ings", "ing", "ed", "es", "s")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation and endings: "pushing" is "push"."""
    return [_stem(word) for word in _WORD.findall(text.lower())]


def features_of(text: str) -> list[str]:
    """The words of a text and its pairs of neighbouring words, each once, in their order.

    Articles and the like are left out: what stands before "left" in "to the left arm" is "to".
    """
    words = [word for word in words_of(text) if word not in _FILLERS]
    return list(dict.fromkeys([*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]))


def alternatives_of(instructions: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Pairs of words (a, b) of which one instruction has a where another, equal otherwise, has b."""
    split = [words_of(each) for each in instructions]
    found = set[tuple[str, str]]()
    for first, second in itertools.combinations(split, 2):
        different = [pair for pair in zip(first, second, strict=False) if pair[0] != pair[1]]
        if len(first) == len(second) and len(different) == 1:
            one, other = different[0]
            found |= {(one, other), (other, one)}
    return frozenset(found)


def _stem(word: str) -> str:
    """A word without its ending. Crude, and the same for wordings and for what is said."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]  # grabbing
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


_HARMLESS = frozenset(_stem(word) for word in HARMLESS.split())
_FILLERS = frozenset(
    map(_stem, ("a", "an", "just", "my", "now", "our", "please", "that", "the", "this", "your"))
)


@dataclass(frozen=True, slots=True)
class Understood:
    """What a text means.

    Attributes:
        probability: of the likeliest instruction; 0 if something speaks against it.
        nearest: the likeliest instructions, the likeliest first.
        unknown: the words that no wording has, as they were said.
        contradicting: the words that would make another instruction of the likeliest one.
        is_question: whether it begins like a question.
    """

    probability: float
    nearest: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    contradicting: tuple[str, ...] = ()
    is_question: bool = False

    @property
    def meant(self) -> str | None:
        """The instruction that is meant; None if that is not clear."""
        return self.nearest[0] if self.probability >= THRESHOLD else None

    @property
    def doubt(self) -> str:
        """Why it is not clear, for people; empty if it is."""
        if self.is_question:
            return "it begins like a question"
        if self.unknown:
            return f"no wording of the training has {listing([repr(word) for word in self.unknown])}"
        if self.contradicting:
            words = listing([repr(word) for word in self.contradicting])
            return f"{words} would make another instruction of it"
        return "" if self.meant else "it does not say clearly which instruction it means"


@dataclass(frozen=True, slots=True, eq=False)
class WordingModel:
    """A classifier from texts to instructions.

    Attributes:
        instructions: the K known ones.
        vocabulary: the V features.
        weights: float32 (V, K).
        bias: float32 (K,).

    Raises:
        ValueError: shapes that contradict one another, values that are not finite, or names that repeat.
    """

    instructions: tuple[str, ...]
    vocabulary: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    _row: Mapping[str, int] = field(init=False, repr=False)
    _alternatives: frozenset[tuple[str, str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows, columns = len(self.vocabulary), len(self.instructions)
        if self.weights.shape != (rows, columns) or self.bias.shape != (columns,) or not columns:
            raise ValueError(
                f"expected weights {(rows, columns)} and a bias {(columns,)}, got {self.weights.shape} and "
                f"{self.bias.shape}"
            )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.bias).all()):
            raise ValueError("expected finite weights")
        row = {feature: number for number, feature in enumerate(self.vocabulary)}
        if len(row) != rows or len(set(self.instructions)) != columns:
            raise ValueError("expected each feature and each instruction once")
        object.__setattr__(self, "_row", row)
        object.__setattr__(self, "_alternatives", alternatives_of(self.instructions))

    def among(self, instructions: Sequence[str]) -> "WordingModel":
        """The model of those of its instructions that are among these."""
        kept = [number for number, each in enumerate(self.instructions) if each in instructions]
        names = tuple(self.instructions[number] for number in kept)
        return WordingModel(names, self.vocabulary, self.weights[:, kept], self.bias[kept])

    @classmethod
    def read(cls, checkpoint: Path) -> Self | None:
        """Read the model of a checkpoint's folder; None if it has none.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = checkpoint / WORDINGS_FILE
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                names = [tuple(map(str, stored[key])) for key in ("instructions", "vocabulary")]
                weights, bias = (stored[key].astype(np.float32) for key in ("weights", "bias"))
                return cls(names[0], names[1], weights, bias)
        except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{path}: it is damaged: {error}. `dit_policy teach_wordings` writes it anew; without it "
                f"instructions are read as they are"
            ) from error

    def write(self, checkpoint: Path) -> None:
        """Write the model into a checkpoint's folder, atomically. Raises OSError."""
        contents = {
            "instructions": np.array(self.instructions),
            "vocabulary": np.array(self.vocabulary),
            "weights": self.weights.astype(np.float16),
            "bias": self.bias.astype(np.float16),
        }

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **contents)

        write_atomically(checkpoint / WORDINGS_FILE, save, durable=True)

    def probabilities(self, text: str) -> NDArray[np.float64]:
        """Of each instruction (K,), whatever words the text has."""
        rows = [self._row[feature] for feature in features_of(text) if feature in self._row]
        logits = self.bias.astype(np.float64) + self.weights[rows].sum(axis=0, dtype=np.float64)  # (K,)
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()

    def familiarity(self, text: str) -> Familiarity:
        """How familiar a text is: the probability of what it means, or why it is not understood."""
        found = self.understand(text)
        return Familiarity(found.probability, THRESHOLD, found.nearest, found.meant, found.doubt)

    def understand(self, text: str) -> Understood:
        """What a text means."""
        said = {_stem(word): word for word in reversed(_WORD.findall(text.lower()))}
        unknown = tuple(
            said[word] for word in reversed(said) if word not in self._row and word not in _HARMLESS
        )
        chances = self.probabilities(text)
        order = np.argsort(-chances, kind="stable")[:_NEAREST]
        nearest = tuple(self.instructions[number] for number in order)
        meant = words_of(nearest[0])
        others = {b for a, b in self._alternatives if a in meant} - set(meant)
        contradicting = tuple(said[word] for word in reversed(said) if word in others)
        likely, second = float(chances[order[0]]), float(chances[order[1]]) if len(order) > 1 else 0.0
        is_question = not _QUESTIONS.isdisjoint(_WORD.findall(text.lower())[:1])
        is_clear = bool(said) and not unknown and not contradicting and not is_question
        is_clear &= likely >= MARGIN * second
        return Understood(likely if is_clear else 0.0, nearest, unknown, contradicting, is_question)
