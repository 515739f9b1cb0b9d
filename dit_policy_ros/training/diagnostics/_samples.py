# SPDX-License-Identifier: Apache-2.0
"""Reads a dataset's observations in the form that a policy expects, and chooses which ones to use.

Shapes: M frames of a dataset.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.data.dataset import SampleReader, failed_by_operator, failed_episodes


def open_samples(dataset: Path | str, policy: Policy) -> SampleReader:
    """Open a dataset for a policy.

    Raises:
        DatasetError: it cannot be read, or its cameras, dimensions or rate are not the policy's.
    """
    reader = SampleReader(
        dataset,
        tuple(policy.image_shapes),
        policy.n_obs_steps,
        policy.horizon - policy.n_obs_steps + 1,
        tuple(vector.name for vector in policy.vectors),
    )
    pairs = [
        ("entries of the state", policy.state_dim, reader.state_dim),
        ("entries of the action", policy.action_dim, reader.action_dim),
        *(
            (f"pixels of camera {name}", tuple(shape), reader.image_shapes[name])
            for name, shape in policy.image_shapes.items()
        ),
    ]
    for kind, trained, names in (
        ("state", policy.joint_names, reader.state_names),
        ("action", policy.action_names, reader.action_names),
        *(
            (vector.name, vector.names, found.names)
            for vector, found in zip(policy.vectors, reader.vectors, strict=True)
        ),
    ):
        if trained is not None and names is not None:
            pairs.append((f"names of the {kind}", trained, names))
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


def demonstrated_well(reader: SampleReader) -> NDArray[np.bool_]:
    """The frames (M,) of episodes that are demonstrations: not labelled a failure, and passed their check.

    Raises:
        DatasetError: there are none, or the recorder's side table is damaged.
    """
    failed = set(failed_episodes(reader.root))
    failed |= failed_by_operator(reader.root)
    is_good = ~np.isin(reader.episode_index, sorted(failed))
    if not is_good.any():
        raise DatasetError(
            f"dataset {reader.root}: each of its {len(np.unique(reader.episode_index))} episodes failed its "
            f"check, or was labelled a failure by its operator (dit_policy inspect shows which); there is no "
            f"demonstration to compare with"
        )
    return is_good


def choose_frames(
    task_index: NDArray[np.int64], per_task: int, is_good: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Choose at most ``per_task`` frames of every task, evenly spread.

    Args:
        task_index: (M,) the task of each frame.
        per_task: frames per task.
        is_good: (M,) which frames may be chosen; None allows all.

    Returns:
        The frames in ascending order.
    """
    chosen: list[NDArray[np.int64]] = []
    allowed = np.ones(len(task_index), bool) if is_good is None else is_good
    for task in np.unique(task_index[allowed]):
        frames = np.flatnonzero((task_index == task) & allowed)
        count = min(per_task, len(frames))
        # The middles of equal parts, because the first and last frames of a dataset are rarely typical.
        middles = (np.arange(count) + 0.5) * len(frames) / count
        chosen.append(frames[middles.astype(np.int64)])
    return np.sort(np.concatenate(chosen))


def count_demonstrations(reader: SampleReader, is_good: NDArray[np.bool_] | None = None) -> dict[str, int]:
    """The number of demonstrations by task; an episode with several instructions in turn counts for each.

    Args:
        reader: of the dataset.
        is_good: (M,) the frames of demonstrations; None counts all.
    """
    begins = np.diff(reader.task_index, prepend=-1) | np.diff(reader.episode_index, prepend=-1)  # (M,)
    changes = np.flatnonzero(begins if is_good is None else (begins != 0) & is_good)
    counts = Counter(reader.tasks[task] for task in reader.task_index[changes])
    return {task: counts[task] for task in reader.tasks}
