# SPDX-License-Identifier: Apache-2.0
"""Reuses the outputs of the network's blocks from one denoising step to the next, as a schedule says.

Block-wise adaptive caching, Ji et al. 2025 (arXiv 2506.13456). A block is the attention or the MLP of one
layer: block 2 l is the attention of layer l, block 2 l + 1 its MLP. ``_block_calibration.py`` makes a
schedule for one checkpoint and one sampler; it is stored in the checkpoint's folder.

Shapes: N sampling steps.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import WEIGHTS_FILE
from dit_policy_ros.policy.config import PolicyConfig, decode_dataclass, read_json

SCHEDULE_FILE = "block_cache.json"
SCHEDULE_FORMAT = 1

Compute = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class BlockSchedule:
    """A schedule, and the weights and sampler that it was made for."""

    sampler: str  # from ``sampler_name``
    weights_sha256: str
    updates: tuple[tuple[int, ...], ...]  # per block, the steps at which it is computed; the first is 0
    deviation: float  # largest error of an action in the calibration, as a share of the range -1 to 1
    format: int = SCHEDULE_FORMAT

    @property
    def share(self) -> float:
        """Blocks that are computed, as a share of all blocks at all steps."""
        steps = int(self.sampler.split()[-2])
        return sum(map(len, self.updates)) / (steps * len(self.updates))


class BlockCache:
    """Computes a block at the steps of its schedule, and returns its latest output at the others."""

    def __init__(self, times: Sequence[float], updates: Sequence[Sequence[int]]) -> None:
        """Start an empty cache for one sampling.

        Args:
            times: at which the sampler evaluates the network, in order.
            updates: per block, the steps (indices into ``times``) at which it is computed.
        """
        self._steps = {t: i for i, t in enumerate(times)}
        self._updates = [frozenset(steps) for steps in updates]
        self._outputs: dict[int, Tensor] = {}
        self._step = 0

    def begin_step(self, t: float) -> None:
        """Say at which time the network is evaluated next."""
        self._step = self._steps[t]

    def __call__(self, block: int, compute: Compute, h: Tensor, values: Tensor) -> Tensor:
        """The block's output ``compute(h, values)``, or an earlier one."""
        if block not in self._outputs or self._step in self._updates[block]:
            self._outputs[block] = compute(h, values)
        return self._outputs[block]


class BlockRecorder(BlockCache):
    """Computes every block at every step, and records all outputs."""

    def __init__(self, times: Sequence[float], blocks: int) -> None:
        super().__init__(times, [range(len(times))] * blocks)
        self.outputs: list[list[Tensor]] = [[] for _ in range(blocks)]  # by block, then step

    def __call__(self, block: int, compute: Compute, h: Tensor, values: Tensor) -> Tensor:
        """The block's output."""
        output = super().__call__(block, compute, h, values)
        self.outputs[block].append(output)
        return output


def sampler_name(config: PolicyConfig) -> str:
    """The sampler that a schedule is for: objective, method and number of steps."""
    method = config.integration_method if config.objective == "flow_matching" else config.noise_scheduler_type
    return f"{config.objective} {method} {config.sampling_steps} steps"


def best_updates(similarity: NDArray[np.float64], count: int) -> tuple[int, ...]:
    """The ``count`` steps at which to compute a block so that the reused outputs are the most similar.

    Args:
        similarity: (N, N), entry [u, i] between the outputs at steps u and i.
        count: 1 to N; step 0 is always one of them.

    Returns:
        The steps in ascending order. Exact: dynamic programming over the last update.
    """
    steps = len(similarity)
    reach = np.concatenate((np.zeros((steps, 1)), np.cumsum(similarity, axis=1)), axis=1)  # (N, N + 1)
    # kept[u, v]: summed similarity of the steps u..v-1 to the output of step u
    kept = reach - np.take_along_axis(reach, np.arange(steps)[:, None], axis=1)
    best = np.full((count + 1, steps + 1), -np.inf)
    predecessor = np.zeros((count + 1, steps + 1), dtype=np.int64)
    best[0, 0] = 0.0
    for k in range(1, count + 1):
        for end in range(k, steps + 1):
            values = best[k - 1, :end] + kept[:end, end]
            predecessor[k, end] = int(values.argmax())
            best[k, end] = values[predecessor[k, end]]
    updates, end = [], steps
    for k in range(count, 0, -1):
        end = int(predecessor[k, end])
        updates.append(end)
    return tuple(reversed(updates))


def bubble_up(updates: Sequence[Sequence[int]], errors: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Also compute the blocks with the largest errors whenever a later MLP is computed.

    An MLP amplifies the error of an outdated input (section 3.3 of the paper).

    Args:
        updates: per block, in the order of the network.
        errors: per block, how far its reused outputs are from the computed ones. Blocks above the median
            get the additional updates.
    """
    united = [set(steps) for steps in updates]
    for i, error in enumerate(errors):
        if error > float(np.median(errors)):
            for mlp in range(i + 1, len(united)):
                if mlp % 2:
                    united[i] |= set(updates[mlp])
    return tuple(tuple(sorted(steps)) for steps in united)


def write_schedule(folder: Path, schedule: BlockSchedule) -> Path:
    """Write a schedule into a checkpoint's folder, atomically. Returns the file's path."""
    path = folder / SCHEDULE_FILE
    write_atomically(path, json.dumps(dataclasses.asdict(schedule)) + "\n")
    return path


def read_schedule(folder: Path, config: PolicyConfig) -> BlockSchedule:
    """Read the schedule in a checkpoint's folder.

    Raises:
        CheckpointError: the file is missing or damaged, or is for other weights or another sampler.
    """
    path, remedy = folder / SCHEDULE_FILE, "make one with `dit_policy block_cache`"
    if not path.is_file():
        raise CheckpointError(f"load_policy: block_cache: {path} does not exist; {remedy}")
    schedule = decode_dataclass(BlockSchedule, read_json(path), str(path))
    expected = {
        "format": SCHEDULE_FORMAT,
        "sampler": sampler_name(config),
        "weights_sha256": weights_sha256(folder),
    }
    for name, value in expected.items():
        if getattr(schedule, name) != value:
            raise CheckpointError(
                f"{path}: {name}: expected {value!r}, but the schedule is for {getattr(schedule, name)!r}; "
                f"{remedy}"
            )
    steps, blocks = config.sampling_steps, 2 * config.num_layers
    is_valid = len(schedule.updates) == blocks and all(
        each and each[0] == 0 and list(each) == sorted(set(each)) and each[-1] < steps
        for each in schedule.updates
    )
    if not is_valid:
        raise CheckpointError(
            f"{path}: updates: expected {blocks} lists of ascending steps, from 0 and below {steps}; {remedy}"
        )
    return schedule


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights file."""
    with (folder / WEIGHTS_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
