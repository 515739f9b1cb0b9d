# SPDX-License-Identifier: Apache-2.0
"""Finds pauses in demonstrations, so that a policy does not learn to wait.

Operators hesitate. A policy that replans many times a second cannot see how long it has waited already, so it
learns to go on waiting where the demonstrations stood. Kim et al. 2024 (arXiv 2406.09246) remove no-op
actions from their data for that reason.

Shapes: M frames of all episodes in order, A action entries.
"""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Demonstrations

_FAST = 0.99  # quantile of a joint's speeds that counts as its fast speed


def non_idle_mask(data: Demonstrations, share: float) -> NDArray[np.bool_]:
    """Frames (M,) that are no pause.

    In a pause every joint is commanded to move more slowly than ``share`` of its own fast speed. An episode's
    first frame always counts, and so does its end after the last motion: the policy must learn to stay there.
    """
    if not share:
        return np.ones(len(data.action), bool)
    first, last = data.episode_bounds()
    frames = np.arange(len(first))
    steps = np.abs(np.diff(data.action, axis=0, prepend=data.action[:1]))  # (M, A) from the frame before
    steps[first == frames] = 0.0
    is_moving = (steps > share * np.quantile(steps, _FAST, axis=0)).any(axis=1)  # (M,)
    last_moving = np.maximum.accumulate(np.where(is_moving | (first == frames), frames, 0))[last]  # (M,)
    return is_moving | (first == frames) | (frames > last_moving)
