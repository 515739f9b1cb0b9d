# SPDX-License-Identifier: Apache-2.0
"""Fits the classifier that names the instruction which a wording means.

Shapes: N texts, K instructions, V features, B batch.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.core.wordings import WordingModel, alternatives_of, features_of, words_of

MOST_FITTED = 1000
"""Wordings of each instruction that the fit uses: they are drawn at random, with the instruction itself."""

_STEPS, _BATCH, _RATE = 900, 192, 0.03
_SHRINK = 3e-6  # of the squared weights: few wordings must not make it sure
_MIXED = 0.2  # the share of examples that say two things at once: they must make it unsure
_UNCLEAR = 0.3  # the share of examples whose words have changed places, or that lack a word: so must they
_DROPPED = 0.03  # the share of features that an example lacks: other sentences lack some, too

Example = tuple[str, NDArray[np.float32]]
"""A text, and how likely each instruction (K,) is meant."""

Encoded = tuple[NDArray[np.int64], NDArray[np.float32]]
"""The same with the numbers of the text's features."""


def fit_wordings(wordings: Mapping[str, Sequence[str]], seed: int = 0) -> WordingModel:
    """Fit a classifier to the wordings of each instruction.

    Args:
        wordings: of each instruction, with the instruction itself.
        seed: of the choice of wordings and of the batches.

    Raises:
        ValueError: there is no instruction, or one without a wording.
    """
    if not wordings or not all(wordings.values()):
        raise ValueError("expected at least one wording of at least one instruction")
    rng, instructions = np.random.default_rng(seed), tuple(wordings)
    texts = [_some(each, wordings[each], rng) for each in instructions]
    clear = [[(text, one_hot) for text in own] for own, one_hot in zip(texts, _one_hot(texts), strict=True)]
    unclear = [list(_turned(texts, instructions)), list(_lacking(texts, instructions))]
    vocabulary = tuple(dict.fromkeys(f for own in texts for text in own for f in features_of(text)))
    weights = _Fit(clear, unclear, vocabulary, rng).run()
    return WordingModel(instructions, vocabulary, weights.numpy(), np.zeros(len(instructions), np.float32))


def _one_hot(texts: Sequence[object]) -> NDArray[np.float32]:
    return np.eye(len(texts), dtype=np.float32)  # (K, K)


def _some(instruction: str, wordings: Sequence[str], rng: np.random.Generator) -> list[str]:
    if len(wordings) <= MOST_FITTED:
        return list(dict.fromkeys((instruction, *wordings)))
    chosen = rng.choice(len(wordings), MOST_FITTED, replace=False)
    return list(dict.fromkeys((instruction, *(wordings[number] for number in chosen))))


def _turned(texts: Sequence[Sequence[str]], instructions: Sequence[str]) -> Iterator[Example]:
    """Wordings that mean nothing known: two words in them have changed their places, or one is there twice.

    The words are those by which two instructions differ, as left and right. "From left to right" has the
    words of "from right to left", and must not be taken for it; nor must "from right to right".
    """
    nothing = np.full(len(instructions), 1.0 / len(instructions), np.float32)
    pairs = sorted(pair for pair in alternatives_of(instructions) if pair[0] < pair[1])
    known = dict.fromkeys(tuple(words_of(text)) for own in texts for text in own)
    for words in known:
        for a, b in pairs:
            for change in ({a: b, b: a}, {a: b}, {b: a}):
                other = tuple(change.get(word, word) for word in words)
                if a in words and b in words and other not in known:
                    yield " ".join(other), nothing


def _lacking(texts: Sequence[Sequence[str]], instructions: Sequence[str]) -> Iterator[Example]:
    """Wordings without the word that tells instructions apart: any of these may be meant."""
    alternatives, split = alternatives_of(instructions), [words_of(each) for each in instructions]
    for own, meant in zip(texts, split, strict=True):
        for lost in sorted({a for a, _ in alternatives if meant.count(a) == 1}):
            others = [[b if word == lost else word for word in meant] for a, b in alternatives if a == lost]
            target = np.array([words == meant or words in others for words in split], np.float32)
            for text in own:
                words = words_of(text)
                if lost in words:
                    yield " ".join(word for word in words if word != lost), target / target.sum()


class _Fit:
    """clear: the examples of each instruction. unclear: groups of those that mean none, or one of several."""

    def __init__(
        self,
        clear: Sequence[Sequence[Example]],
        unclear: Sequence[Sequence[Example]],
        vocabulary: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        self._rng, self._row = rng, {feature: number for number, feature in enumerate(vocabulary)}
        self._clear = [[self._encoded(example) for example in own] for own in clear]
        self._unclear = [[self._encoded(example) for example in group] for group in unclear if group]
        self._weights = nn.EmbeddingBag(len(vocabulary), len(clear), mode="sum")
        nn.init.zeros_(self._weights.weight)

    def run(self) -> Tensor:
        """The weights (V, K)."""
        optimizer = torch.optim.Adam(self._weights.parameters(), _RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        for _ in range(_STEPS):
            bags, targets = zip(*(self._example() for _ in range(_BATCH)), strict=True)
            offsets = torch.tensor(list(itertools.accumulate((len(bag) for bag in bags[:-1]), initial=0)))
            logits = self._weights(torch.tensor(np.concatenate(bags)), offsets)  # (B, K)
            loss = functional.cross_entropy(logits, torch.tensor(np.stack(targets)))
            loss = loss + _SHRINK * self._weights.weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return self._weights.weight.detach().float()

    def _encoded(self, example: Example) -> Encoded:
        rows = [self._row[feature] for feature in features_of(example[0]) if feature in self._row]
        return np.array(rows, np.int64), example[1]

    def _example(self) -> Encoded:
        """The features of an example, and how likely each instruction is meant (K,)."""
        kind = self._rng.random()
        if self._unclear and kind < _UNCLEAR:
            rows, target = self._of_any(self._unclear)
        else:
            rows, target = self._of_any(self._clear)
            if kind >= 1.0 - _MIXED:
                more, other = self._of_any(self._clear)
                rows, target = np.union1d(rows, more), (target + other) / 2
        return rows[self._rng.random(len(rows)) >= _DROPPED], target

    def _of_any(self, groups: Sequence[Sequence[Encoded]]) -> Encoded:
        """One of the examples of one of the groups, which are equally likely."""
        own = groups[self._rng.integers(len(groups))]
        return own[self._rng.integers(len(own))]
