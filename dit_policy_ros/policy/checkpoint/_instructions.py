# SPDX-License-Identifier: Apache-2.0
"""What the instructions of a training looked like to the text encoder, and what is far from all of them.

``instructions.safetensors`` in a checkpoint's folder. Without it every instruction is taken.

Shapes: W wordings, E text feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import Familiarity

INSTRUCTIONS_FILE = "instructions.safetensors"
MOST_STORED = 1000
"""Wordings that are stored, of all tasks together."""

_NEAREST = 3
_FAR = 0.99  # the share of the training's own wordings that lie nearer to another one than the limit's half
_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class KnownInstructions:
    """The wordings of a training.

    Attributes:
        vectors: (W, E) text features of length 1.
        task: (W,) long, the index of each wording's task among the checkpoint's known ones.
        threshold: similarity below which an instruction is unlike all of them; None if they are too few.
    """

    vectors: Tensor
    task: Tensor
    threshold: float | None

    @classmethod
    def of(cls, features: Tensor, task: Tensor) -> "KnownInstructions":
        """Choose the wordings to store, and calibrate the threshold with them.

        Args:
            features: (W, E) of a text encoder, the literal instruction of each task first.
            task: (W,) long.
        """
        rows = _chosen(task)
        vectors = functional.normalize(features[rows].float())
        return cls(vectors, task[rows], _threshold(vectors))

    def with_earlier(self, earlier: "KnownInstructions") -> "KnownInstructions":
        """These and the wordings of an earlier training of the same checkpoint, whose tasks come first."""
        vectors, task = torch.cat((earlier.vectors, self.vectors)), torch.cat((earlier.task, self.task))
        return KnownInstructions.of(vectors, task)

    def among(self, tasks: Sequence[str], known_tasks: Sequence[str]) -> "KnownInstructions":
        """With the tasks numbered as in ``known_tasks``, not as in ``tasks``; others are left out."""
        place = {task: index for index, task in enumerate(known_tasks)}
        number = torch.tensor([place.get(task, -1) for task in tasks])
        is_known = number[self.task] >= 0  # (W,)
        return KnownInstructions(self.vectors[is_known], number[self.task[is_known]], self.threshold)

    def familiarity(self, feature: Tensor, known_tasks: Sequence[str]) -> Familiarity:
        """How familiar an instruction with the text feature (E,) is."""
        if not len(self.task):
            return Familiarity(0.0, None)
        near = self.vectors @ functional.normalize(feature.float(), dim=0).to(self.vectors.device)  # (W,)
        order = near.argsort(descending=True).tolist()
        tasks = dict.fromkeys(int(self.task[row]) for row in order)
        named = tuple(known_tasks[index] for index in tasks if index < len(known_tasks))
        return Familiarity(min(1.0, float(near.max())), self.threshold, named[:_NEAREST])


def write_instructions(folder: Path, known: KnownInstructions) -> None:
    """Write them into a checkpoint's folder."""
    threshold = {} if known.threshold is None else {"threshold": repr(known.threshold)}
    tensors = {
        "vectors": known.vectors.half().cpu().contiguous(),
        "task": known.task.int().cpu().contiguous(),
    }
    save_file(tensors, folder / INSTRUCTIONS_FILE, metadata=threshold)


def read_instructions(folder: Path, features: int, tasks: int) -> KnownInstructions | None:
    """Read them; None if the checkpoint has none.

    Args:
        folder: the checkpoint.
        features: E of its text encoder.
        tasks: the number of its known tasks.

    Raises:
        CheckpointError: the file is damaged, or of another checkpoint.
    """
    path = folder / INSTRUCTIONS_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            stored = file.metadata() or {}
            vectors, task = file.get_tensor("vectors").float(), file.get_tensor("task").long()
        threshold = float(stored["threshold"]) if "threshold" in stored else None
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot read the instructions: {error}") from error
    is_whole = vectors.ndim == 2 and task.shape == vectors.shape[:1] and len(task)
    if not is_whole or vectors.shape[1] != features or not 0 <= int(task.min()) <= int(task.max()) < tasks:
        raise CheckpointError(
            f"{path}: expected text features (W, {features}) of {tasks} tasks, got {tuple(vectors.shape)}: "
            f"it is of another checkpoint"
        )
    if not bool(vectors.isfinite().all()) or not (threshold is None or -1.0 <= threshold <= 1.0):
        raise CheckpointError(f"{path}: expected finite features and a threshold of -1 to 1: it is damaged")
    return KnownInstructions(functional.normalize(vectors), task, threshold)


def _chosen(task: Tensor) -> Tensor:
    """The rows to store: all, or of each task equally many, evenly spaced, with its first."""
    if len(task) <= MOST_STORED:
        return torch.arange(len(task))
    tasks = task.unique().tolist()
    each = max(1, MOST_STORED // len(tasks))
    rows = []
    for index in tasks:
        own = (task == index).nonzero()[:, 0]
        count = min(each, len(own))
        rows.append(own[torch.arange(count) * len(own) // count])
    return torch.cat(rows).sort().values


def _threshold(vectors: Tensor) -> float | None:
    """The similarity below which an instruction is unlike the wordings (W, E).

    Each wording is compared with all others. An instruction may be twice as far from the nearest wording as
    they are from one another.
    """
    distinct = torch.unique(vectors, dim=0)
    if len(distinct) < 2:
        return None
    near = distinct @ distinct.T  # (W, W)
    near.fill_diagonal_(-1.0)
    distance = 1.0 - near.max(dim=1).values  # (W,)
    return max(-1.0, 1.0 - _MARGIN * float(distance.quantile(_FAR)))
