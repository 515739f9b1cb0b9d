# SPDX-License-Identifier: Apache-2.0
"""What each frame of the demonstrations is for in a run.

Shapes: M frames of all episodes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.training.batches._batch_source import BatchSource
from dit_policy_ros.training.batches._splits import Split, split_frames, start_mask, task_mask
from dit_policy_ros.training.config import TrainConfig


@dataclass(frozen=True, slots=True)
class FrameRoles:
    """Frames (M,): what the data say of them, and which ones begin trained and scored examples, bool each."""

    split: Split
    trained_on: NDArray[np.bool_]
    held_out: NDArray[np.bool_]

    @classmethod
    def of(cls, batches: BatchSource, config: TrainConfig, policy: PolicyConfig) -> "FrameRoles":
        """Those of a run with these options and a policy of this configuration.

        Raises:
            TrainingError: ``config`` names a task that the data do not have.
        """
        data = batches.data
        split = split_frames(
            data,
            config.validation,
            config.seed,
            steps=policy.n_obs_steps,
            image_steps=policy.read_image_steps,
            use_failures=config.use_failures,
            use_flagged=config.use_flagged,
            use_overruled=config.use_overruled,
        )
        is_task = task_mask(data, config.tasks)
        starts = start_mask(data, policy.to_mapping()["drop_n_last_frames"], config.example_stride)
        scored = start_mask(data, 0, config.example_stride)
        return cls(
            split, split.usable & batches.non_idle & starts & is_task, split.held_out & is_task & scored
        )

    def with_images(self, batches: BatchSource, policy: PolicyConfig) -> NDArray[np.bool_]:
        """The frames (M,) whose images training or scoring reads."""
        return observed(batches, np.flatnonzero(self.trained_on | self.held_out), policy)


def observed(batches: BatchSource, newest: NDArray[np.int64], policy: PolicyConfig) -> NDArray[np.bool_]:
    """The frames (M,) whose images the examples with these newest frames (B,) read."""
    is_read = np.zeros(len(batches.data.state), bool)
    is_read[batches.windows(newest).observed[:, -policy.read_image_steps :]] = True
    return is_read
