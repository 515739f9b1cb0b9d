# SPDX-License-Identifier: Apache-2.0
"""Pauses in demonstrations: which frames they are, so that a policy need not learn to wait.

An operator hesitates. A policy that replans many times a second and cannot see how long it has waited already
learns to go on waiting: it stands where the demonstrations stood. Kim et al. 2024 (arXiv 2406.09246) leave
actions that do nothing out of their data for that reason.

Shapes: M frames of all episodes in order, A action entries.
"""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Demonstrations

_FAST = 0.99  # quantile of a joint's speeds that its own are compared with


def non_idle_mask(data: Demonstrations, share: float) -> NDArray[np.bool_]:
    """Which frames (M,) are no pause.

    In a pause every joint is commanded to move more slowly than ``share`` of its own fast speed. An episode's
    first frame always counts, and so does how it ends: to stay where the task is done is to be learned.
    """
    if not share:
        return np.ones(len(data.action), bool)
    first, last = data.episode_bounds()
    frames = np.arange(len(first))
    steps = np.abs(np.diff(data.action, axis=0, prepend=data.action[:1]))  # (M, A), that led to each frame
    steps[first == frames] = 0.0
    is_moving = (steps > share * np.quantile(steps, _FAST, axis=0)).any(axis=1)  # (M,)
    last_moving = np.maximum.accumulate(np.where(is_moving | (first == frames), frames, 0))[last]  # (M,)
    return is_moving | (first == frames) | (frames > last_moving)
