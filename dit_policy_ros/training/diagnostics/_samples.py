# SPDX-License-Identifier: Apache-2.0
"""Reads a dataset's observations in the form that a policy expects, and chooses which ones to use.

Shapes: M frames of a dataset.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.data.dataset import SampleReader


def open_samples(dataset: str, policy: Policy) -> SampleReader:
    """Open a dataset for a policy.

    Raises:
        DatasetError: it cannot be read, or its cameras, dimensions or rate are not the policy's.
    """
    reader = SampleReader(
        dataset, tuple(policy.image_shapes), policy.n_obs_steps, policy.horizon - policy.n_obs_steps + 1
    )
    pairs = [
        ("entries of the state", policy.state_dim, reader.state_dim),
        ("entries of the action", policy.action_dim, reader.action_dim),
        *(
            (f"pixels of camera {name}", tuple(shape), reader.image_shapes[name])
            for name, shape in policy.image_shapes.items()
        ),
    ]
    if policy.fps is not None:
        pairs.append(("frames per second", policy.fps, reader.fps))
    differing = [
        f"{what}: the policy expects {expected}, got {got}"
        for what, expected, got in pairs
        if expected != got
    ]
    if differing:
        raise DatasetError(f"dataset {reader.root} does not fit the policy: {'; '.join(differing)}")
    return reader


def choose_frames(task_index: NDArray[np.int64], per_task: int) -> NDArray[np.int64]:
    """At most ``per_task`` frames of every task of ``task_index`` (M,), evenly spread, in ascending order."""
    chosen: list[NDArray[np.int64]] = []
    for task in np.unique(task_index):
        frames = np.flatnonzero(task_index == task)
        count = min(per_task, len(frames))
        # The middles of equal parts, because the first and last frames of a dataset are rarely typical.
        middles = (np.arange(count) + 0.5) * len(frames) / count
        chosen.append(frames[middles.astype(np.int64)])
    return np.sort(np.concatenate(chosen))


def count_demonstrations(reader: SampleReader) -> dict[str, int]:
    """The number of demonstrations by task; an episode with several instructions in turn counts for each."""
    changes = np.flatnonzero(
        np.diff(reader.task_index, prepend=-1) | np.diff(reader.episode_index, prepend=-1)
    )
    counts = Counter(reader.tasks[task] for task in reader.task_index[changes])
    return {task: counts[task] for task in reader.tasks}
