# SPDX-License-Identifier: Apache-2.0
"""When to compute which block of the network, and when what it gave at an earlier step will do.

Block-wise adaptive caching, Ji et al. 2025 (arXiv 2506.13456). A block is the attention or the MLP of one
layer; block 2 l is the attention, 2 l + 1 the MLP of layer l. The schedule is made once for a checkpoint and
a way of sampling, from recorded outputs, and lies beside the checkpoint.

Shapes: N sampling steps.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import WEIGHTS_FILE
from dit_policy_ros.policy.config import PolicyConfig, decode_dataclass, read_json

SCHEDULE_FILE = "block_cache.json"
SCHEDULE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class BlockSchedule:
    """A schedule and what it was made for."""

    sampler: str  # the way of sampling, see ``sampler_name``
    weights_sha256: str
    updates: tuple[tuple[int, ...], ...]  # for each block the steps at which it is computed, the first is 0
    deviation: float  # largest difference of an action that was seen, as a share of the range -1 to 1
    format: int = SCHEDULE_FORMAT

    @property
    def share(self) -> float:
        """Blocks that are computed, relative to all of them at every step."""
        steps = int(self.sampler.split()[-2])
        return sum(map(len, self.updates)) / (steps * len(self.updates))


def sampler_name(config: PolicyConfig) -> str:
    """The way of sampling that a schedule is for."""
    method = config.integration_method if config.objective == "flow_matching" else config.noise_scheduler_type
    return f"{config.objective} {method} {config.sampling_steps} steps"


def best_updates(similarity: NDArray[np.float64], count: int) -> tuple[int, ...]:
    """The ``count`` steps at which to compute a block so that what stands in elsewhere is most alike.

    Args:
        similarity: (N, N), entry [u, i] between the outputs at steps u and i.
        count: 1 to N; step 0 is always among them.

    Returns:
        Rising steps. Exact, by dynamic programming over the last update.
    """
    steps = len(similarity)
    reach = np.concatenate((np.zeros((steps, 1)), np.cumsum(similarity, axis=1)), axis=1)  # (N, N + 1)
    # kept[u, v]: summed similarity of the steps u..v-1 to the output of step u
    kept = reach - np.take_along_axis(reach, np.arange(steps)[:, None], axis=1)
    best = np.full((count + 1, steps + 1), -np.inf)
    came_from = np.zeros((count + 1, steps + 1), dtype=np.int64)
    best[0, 0] = 0.0
    for k in range(1, count + 1):
        for end in range(k, steps + 1):
            values = best[k - 1, :end] + kept[:end, end]
            came_from[k, end] = int(values.argmax())
            best[k, end] = values[came_from[k, end]]
    updates, end = [], steps
    for k in range(count, 0, -1):
        end = int(came_from[k, end])
        updates.append(end)
    return tuple(reversed(updates))


def bubble_up(updates: Sequence[Sequence[int]], errors: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Compute the blocks that stand in worst whenever an MLP behind them is computed.

    An MLP that is computed from outdated inputs passes their error on, larger (section 3.3 of the paper).

    Args:
        updates: of each block, in the order of the network.
        errors: of each block, how far its outputs are from those that they stand in for.
    """
    united = [set(steps) for steps in updates]
    for i, error in enumerate(errors):
        if error > float(np.median(errors)):
            for mlp in range(i + 1, len(united)):
                if mlp % 2:
                    united[i] |= set(updates[mlp])
    return tuple(tuple(sorted(steps)) for steps in united)


def write_schedule(folder: Path, schedule: BlockSchedule) -> Path:
    """Put a schedule beside a checkpoint, whole or not at all; returns its path."""
    path = folder / SCHEDULE_FILE
    write_atomically(path, json.dumps(dataclasses.asdict(schedule)) + "\n")
    return path


def read_schedule(folder: Path, config: PolicyConfig) -> BlockSchedule:
    """The schedule beside a checkpoint.

    Raises:
        CheckpointError: there is none, or it was made for other weights or another way of sampling.
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
                f"{path}: {name}: it was made for {getattr(schedule, name)!r}, expected {value!r}; {remedy}"
            )
    steps, blocks = config.sampling_steps, 2 * config.num_layers
    is_whole = len(schedule.updates) == blocks and all(
        each and each[0] == 0 and list(each) == sorted(set(each)) and each[-1] < steps
        for each in schedule.updates
    )
    if not is_whole:
        raise CheckpointError(
            f"{path}: updates: expected {blocks} rising lists from 0 below {steps}; {remedy}"
        )
    return schedule


def weights_sha256(folder: Path) -> str:
    """What tells a checkpoint's weights from any others."""
    with (folder / WEIGHTS_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
