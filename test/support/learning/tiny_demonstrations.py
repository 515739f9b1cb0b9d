# SPDX-License-Identifier: Apache-2.0
"""Demonstrations of a known mapping: the action is the position of a bright square in the image."""

import numpy as np
from tiny_policy import ACTION_DIM, IMAGE, STATE_DIM, TASKS

from dit_policy_ros.data.dataset import Demonstrations, image_stats, vector_stats


def tiny_demonstrations(
    episodes: int = 4, length: int = 12, seed: int = 0, cameras: int = 1
) -> Demonstrations:
    """Episodes with a square that does not move; the action is its position, mirrored for the second task."""
    rng = np.random.default_rng(seed)
    frames = episodes * length
    episode = np.repeat(np.arange(episodes), length)
    task = episode % len(TASKS)
    position = rng.uniform(0.2, 0.8, (episodes, 2))[episode]  # (M, 2), share of height and width
    images = np.full((frames, *IMAGE, 3), 40, np.uint8)
    for image, (row, column) in zip(images, position, strict=True):
        y, x = int(row * IMAGE[0]), int(column * IMAGE[1])
        image[y - 4 : y + 4, x - 4 : x + 4] = (230, 60, 60)
    sign = np.where(task == 0, 1.0, -1.0)[:, None]
    target = sign * (2 * position - 1)  # (M, 2)
    action = np.concatenate((target, target), axis=1).astype(np.float32)
    assert action.shape[1] == ACTION_DIM
    state = rng.normal(size=(frames, STATE_DIM)).astype(np.float32)
    names = tuple(f"cam{i}" for i in range(cameras))
    stats = {"observation.state": vector_stats(state), "action": vector_stats(action)}
    return Demonstrations(
        fps=30.0,
        state_names=("a", "b", "c", "d", "e"),
        action_names=("a", "b", "c", "d"),
        image_shapes=dict.fromkeys(names, IMAGE),
        tasks=TASKS,
        images=dict.fromkeys(names, images),
        state=state,
        action=action,
        task_index=task.astype(np.int64),
        episode_index=episode.astype(np.int64),
        stats=stats | {f"observation.images.{name}": image_stats(images) for name in names},
    )
