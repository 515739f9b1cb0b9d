# SPDX-License-Identifier: Apache-2.0
"""Which frames are trained on, and which episodes are held out.

Shapes: M frames of all episodes.
"""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.training.errors import TrainingError


def start_mask(data: Demonstrations, drop_last: int) -> NDArray[np.bool_]:
    """Frames (M,) that may start an example: all but the last ``drop_last`` of an episode, as in LeRobot."""
    _, last = data.episode_bounds()
    return np.arange(len(last)) + drop_last <= last


def unflagged_mask(data: Demonstrations, steps: int, image_steps: int) -> NDArray[np.bool_]:
    """Frames (M,) whose history has no flagged frame.

    Args:
        data: the demonstrations; their flags come from the recorder.
        steps: length of the history of states, the frame itself included.
        image_steps: length of the history of images.
    """
    first, _ = data.episode_bounds()
    is_good = np.ones(len(first), bool)
    for flagged, count in ((data.flagged, steps), (data.flagged_images, image_steps)):
        if flagged is not None:
            history = np.arange(len(first))[:, None] - np.arange(count)  # (M, count)
            is_good &= ~flagged[np.maximum(history, first[:, None])].any(axis=1)
    return is_good


def held_out_mask(data: Demonstrations, share: float, seed: int) -> NDArray[np.bool_]:
    """Frames (M,) held out for validation: whole episodes, a ``share`` of each task's.

    Of a task with several episodes at least one is held out and one is trained on; a single episode is
    trained on.
    """
    mask = np.zeros(len(data.state), bool)
    if share == 0:
        return mask
    rng = np.random.default_rng((seed, 2))
    starts = np.flatnonzero(np.diff(data.episode_index, prepend=-1))
    episodes, tasks = data.episode_index[starts], data.task_index[starts]
    for task in np.unique(tasks):
        candidates = rng.permutation(episodes[tasks == task])
        count = min(max(1, round(share * len(candidates))), len(candidates) - 1)
        mask |= np.isin(data.episode_index, candidates[:count])
    return mask


def task_mask(data: Demonstrations, tasks: tuple[str, ...]) -> NDArray[np.bool_]:
    """Frames (M,) that demonstrate one of ``tasks``; all frames if ``tasks`` is empty."""
    if not tasks:
        return np.ones(len(data.state), bool)
    return np.isin(data.task_index, [task_number(data, task) for task in tasks])


def task_number(data: Demonstrations, task: str) -> int:
    """A task's index; TrainingError lists the valid tasks if there is no such task."""
    if task not in data.tasks:
        known = "\n  ".join(data.tasks)
        raise TrainingError(f"no demonstration of {task!r}; the datasets' tasks:\n  {known}")
    return data.tasks.index(task)
