# SPDX-License-Identifier: Apache-2.0
"""The further vectors that a policy reads, and their match with those of the robot, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Vector
from dit_policy_ros.core.lerobot_keys import vector_key
from dit_policy_ros.core.problems import Problems, did_you_mean, listing


@dataclass(frozen=True, slots=True)
class VectorInput:
    """A further vector that a policy reads, with K entries.

    name: without `observation.`. names: of its entries, (K,); None if the checkpoint does not say.
    """

    name: str
    size: int
    names: tuple[str, ...] | None = None

    def labels(self) -> tuple[str, ...]:
        """A text for each entry, (K,), for messages."""
        return tuple(f"{self.name} {entry}" for entry in self.names or map(str, range(self.size)))


@dataclass(frozen=True, slots=True, eq=False)
class VectorMatch:
    """How the robot's vectors become those of a policy.

    inputs: the robot's vectors that are needed, with all their entries. order: where each entry that the
    policy reads stands among all entries of ``inputs``.
    """

    inputs: tuple[VectorInput, ...]
    order: NDArray[np.intp]

    def is_identity(self, wanted: Sequence[VectorInput]) -> bool:
        """Whether the policy reads the robot's vectors as they are, under their own names."""
        same = [each.name for each in self.inputs] == [each.name for each in wanted]
        total = sum(each.size for each in self.inputs)
        return same and np.array_equal(self.order, np.arange(total))


def match_vectors(
    wanted: Sequence[VectorInput], vectors: Sequence[Vector], problems: Problems
) -> VectorMatch:
    """Find each vector of a policy among the robot's, and its entries by name.

    A policy that does not name a vector's entries gets them in the contract's order, if their number is the
    same: then the contract states what they are.

    Args:
        wanted: the vectors that the policy reads.
        vectors: those of the contract.
        problems: gets what is missing, with its remedy.
    """
    by_name = {vector.dataset_name: vector for vector in vectors}
    inputs: list[VectorInput] = []
    order: list[int] = []
    for each in wanted:
        vector = by_name.get(each.name)
        if vector is None:
            problems.add_line(_missing(each, by_name))
            continue
        start = sum(other.size for other in inputs)
        inputs.append(VectorInput(vector.name, vector.size, vector.entries))
        order += [start + index for index in _entries(each, vector, problems)]
    return VectorMatch(tuple(inputs), np.array(order, dtype=np.intp))


def _missing(wanted: VectorInput, vectors: Mapping[str, Vector]) -> str:
    entries = f" with the entries {listing(wanted.names)}" if wanted.names else f" with {wanted.size} entries"
    return (
        f"{vector_key(wanted.name)}: the checkpoint reads it{entries}, and the contract has no such vector; "
        f"its vectors: {listing(vectors)}.{did_you_mean(wanted.name, vectors)} Add 'vectors.{wanted.name}' "
        f"with its topic, type and max_age, or set 'trained_as: {wanted.name}' at the vector that it is"
    )


def _entries(wanted: VectorInput, vector: Vector, problems: Problems) -> list[int]:
    """Where the wanted entries stand in the robot's vector."""
    key = f"vectors.{vector.name}.entries"
    if wanted.names is None:
        if wanted.size != vector.size:
            problems.add(
                key, f"{wanted.size}, the number that the checkpoint was trained with", f"{vector.size}"
            )
            return []
        return list(range(vector.size))
    missing = [name for name in wanted.names if name not in vector.entries]
    if missing:
        problems.add(
            key,
            f"those that the checkpoint was trained with: {listing(wanted.names)}",
            listing(vector.entries),
        )
        return []
    return [vector.entries.index(name) for name in wanted.names]
