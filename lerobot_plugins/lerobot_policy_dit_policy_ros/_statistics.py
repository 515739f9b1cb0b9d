# SPDX-License-Identifier: Apache-2.0
"""The statistics that `lerobot-train` normalises by, as `dit_policy train` makes them.

LeRobot gives a dataset's statistics to the processors after it has made the policy, from one object. So the
policy changes them there: joints that rested get a least range, and relative actions their own statistics.

Shapes: M frames, T horizon, A action entries.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.data.description import describe_dataset
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.processing import Stats, action_origin, raise_resting
from dit_policy_ros.training.batches import chunk_stats, with_even_rotations

logger = logging.getLogger(__name__)
_PART = 4096  # frames at once


def training_statistics(options: PolicyConfig, dataset: Any, checkpoint: Stats | None) -> dict[str, Any]:
    """Set and return the statistics to train by.

    Args:
        options: of the policy.
        dataset: LeRobot's metadata of the dataset; its ``stats`` are changed.
        checkpoint: the statistics of a checkpoint that is trained further: its network knows no others.
    """
    if checkpoint is not None:
        logger.info("normalising by the statistics of the checkpoint")
        for key, group in checkpoint.items():
            dataset.stats[key] = {name: value.numpy() for name, value in group.items()}
        return _tensors(dataset.stats)
    stats = _tensors(dataset.stats)
    if options.relative_entries:
        stats[ACTION_KEY] = chunk_stats(_relative_chunks(options, Path(dataset.root)))
    for key in options.state_parts:
        stats[key] = raise_resting(stats[key])
    stats[ACTION_KEY] = raise_resting(stats[ACTION_KEY], keep_constants=True)
    for key, names in _entry_names(Path(dataset.root)).items():
        stats[key] = with_even_rotations(stats[key], names)
    for key in (*options.state_parts, ACTION_KEY):
        dataset.stats[key] = {name: value.numpy() for name, value in stats[key].items()}
    return stats


def _entry_names(root: Path) -> dict[str, list[str] | None]:
    """What state and action have, without LeRobot's ending of positions."""
    both = describe_dataset(root).state_and_action()
    return {
        key: None if vector.names is None else [name.removesuffix(".pos") for name in vector.names]
        for key, vector in zip((STATE_KEY, ACTION_KEY), both, strict=True)
    }


def _tensors(stats: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Tensor]]:
    return {
        key: {name: torch.as_tensor(np.asarray(value)).to(torch.float32) for name, value in group.items()}
        for key, group in stats.items()
    }


def _relative_chunks(options: PolicyConfig, root: Path) -> Iterator[Tensor]:
    """All chunks (B, T, A) of a dataset as the network predicts them, in robot units, part by part."""
    episode, state, action = _columns(root)
    first = np.searchsorted(episode, episode)  # (M,)
    last = np.searchsorted(episode, episode, side="right") - 1  # (M,)
    steps = np.arange(1 - options.n_obs_steps, 1 - options.n_obs_steps + options.horizon)  # (T,)
    for newest in np.array_split(np.arange(len(episode)), -(-len(episode) // _PART)):
        rows = newest[:, None] + steps  # (B, T)
        is_pad = (rows < first[newest, None]) | (rows > last[newest, None])
        rows = np.where(is_pad, newest[:, None], rows)
        origin = action_origin(torch.from_numpy(state[newest]), options.relative_entries, action.shape[1])
        yield torch.from_numpy(action[rows]) - origin


def _columns(root: Path) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """The episodes (M,), states (M, D) and actions (M, A) of a dataset, in order."""
    names = ["index", "episode_index", STATE_KEY, ACTION_KEY]
    tables = [parquet.read_table(path, columns=names) for path in sorted((root / "data").rglob("*.parquet"))]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([np.stack(table[name].to_numpy(zero_copy_only=False)) for table in tables])

    order = np.argsort(column("index"), kind="stable")
    state, action = (column(name)[order].astype(np.float32) for name in (STATE_KEY, ACTION_KEY))
    return column("episode_index")[order].astype(np.int64), state, action
