# SPDX-License-Identifier: Apache-2.0
"""A dataset's vectors, and the choice of the further ones that a policy reads beside the state."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY, vector_name
from dit_policy_ros.core.problems import did_you_mean, listing


@dataclass(frozen=True, slots=True)
class VectorFeature:
    """A feature with numbers.

    key: the feature's key. shape: (D,) of a vector; an array of several axes, as of tactile cells, is read
    row after row. names: of the D entries; None if the dataset does not give each entry a name of its own.
    note: what it has instead of names; empty if it has nothing.
    """

    key: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None
    note: str = ""

    @property
    def dim(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def is_vector(self) -> bool:
        """Whether it has one axis, with entries."""
        return len(self.shape) == 1 and self.shape[0] > 0

    @property
    def name(self) -> str:
        """How people, options and the robot call it."""
        return vector_name(self.key)

    def entry_labels(self) -> tuple[str, ...]:
        """A text for each entry: its name, or `entry_K`."""
        return self.names or tuple(f"entry_{index}" for index in range(self.dim))


def choose_vectors(
    vectors: Sequence[VectorFeature], wanted: Sequence[str], source: str
) -> tuple[VectorFeature, ...]:
    """The further vectors that a policy will read, in the order of ``wanted``.

    Args:
        vectors: the further ones of the dataset.
        wanted: names or keys.
        source: the dataset, for messages.

    Raises:
        DatasetError: a wanted vector is not there, or is read anyway; lists those that can be chosen.
    """
    known = {text: vector for vector in vectors for text in (vector.key, vector.name)}
    always = {text for key in (STATE_KEY, ACTION_KEY) for text in (key, vector_name(key))}
    names = [vector.name for vector in vectors]
    for name in wanted:
        if name in always:
            raise DatasetError(
                f"{source}: --state-features {name}: it is read anyway; further vectors: {listing(names)}"
            )
        if name not in known:
            raise DatasetError(
                f"{source}: --state-features {name}: expected further vectors of the dataset, which has: "
                f"{listing(names)}.{did_you_mean(name, names)} `dit_policy inspect` says why others cannot "
                f"be read"
            )
    return tuple(dict.fromkeys(known[name] for name in wanted))
