# SPDX-License-Identifier: Apache-2.0
"""Covering arrays: few combinations of options that contain every pair (or triple) of their values."""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence

Row = dict[str, str]  # factor -> level
Rule = Callable[[Mapping[str, str]], bool]  # false for a partial row that cannot be completed to a valid row


def tuples_to_cover(factors: Mapping[str, Sequence[str]], strength: int, rule: Rule) -> set[frozenset]:
    """All feasible combinations of levels of ``strength`` factors."""
    return {
        frozenset(zip(names, levels, strict=True))
        for names in itertools.combinations(factors, strength)
        for levels in itertools.product(*(factors[name] for name in names))
        if rule(dict(zip(names, levels, strict=True)))
    }


def covering(
    factors: Mapping[str, Sequence[str]], strength: int, rule: Rule = lambda row: True, tries: int = 30
) -> list[Row]:
    """Rows that together contain every feasible combination of ``strength`` levels.

    Greedy, as in AETG (Cohen et al. 1997): each row starts from a combination that is still missing and is
    completed at random ``tries`` times; the row that covers most is kept. Deterministic.
    """
    rng = random.Random(0)
    missing = tuples_to_cover(factors, strength, rule)
    rows: list[Row] = []
    while missing:
        seed = dict(min(missing, key=sorted))
        candidates = [row for _ in range(tries) if (row := fill(seed, factors, rule, rng)) is not None]
        best = max(candidates, key=lambda row: len(held(row, strength) & missing))
        missing -= held(best, strength)
        rows.append(best)
    return rows


def fill(seed: Row, factors: Mapping[str, Sequence[str]], rule: Rule, rng: random.Random) -> Row | None:
    """Completes ``seed`` to a row with random levels; None if that led to an invalid row."""
    row = dict(seed)
    for name in rng.sample(list(factors), len(factors)):
        if name not in row:
            allowed = [level for level in factors[name] if rule({**row, name: level})]
            if not allowed:
                return None
            row[name] = rng.choice(allowed)
    return {name: row[name] for name in factors}


def held(row: Row, strength: int) -> set[frozenset]:
    """All combinations of ``strength`` levels in a row."""
    return {frozenset(pairs) for pairs in itertools.combinations(row.items(), strength)}
