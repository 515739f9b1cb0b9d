# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to normalised training batches.

Shapes: M frames, B batch, S observation steps, N cameras, T horizon.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.demonstrations import Demonstrations
from dit_policy_ros.policy.config import ACTION_KEY, IMAGE_PREFIX, STATE_KEY, PolicyConfig
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.normalize import make_normalizer
from dit_policy_ros.policy.processors import DEFAULT_EPS
from dit_policy_ros.policy.tasks import TaskTokenizer


@dataclass(frozen=True, slots=True)
class Windows:
    """Which frames one training example reads: (B, S) observed, (B, T) commanded, (B, T) beyond the end."""

    observed: NDArray[np.int64]
    commanded: NDArray[np.int64]
    is_pad: NDArray[np.bool_]


class BatchMaker:
    """Cuts batches out of demonstrations; statistics and text are prepared once."""

    def __init__(self, data: Demonstrations, policy: DiTPolicy, tokenizer: TaskTokenizer) -> None:
        """Prepare batches.

        Args:
            data: the demonstrations; their statistics normalise.
            policy: whose options say what a batch holds, and whose frozen text encoder reads the tasks.
            tokenizer: of the instructions.

        Raises:
            DatasetError: the demonstrations lack a camera or have other dimensions than the policy.
        """
        config = policy.config
        _check(data, config)
        self.data, self.config = data, config
        self.stats = {
            key: {name: torch.as_tensor(value) for name, value in group.items()}
            for key, group in data.stats.items()
        }
        features = {**config.input_features, **config.output_features}
        scales = {
            key: make_normalizer(
                key,
                feature,
                config.normalization_mapping[feature.type.value],
                self.stats[key],
                DEFAULT_EPS,
                "dataset",
            )
            for key, feature in features.items()
        }
        self._state = scales[STATE_KEY].normalize(torch.from_numpy(data.state))  # (M, D)
        self._action = scales[ACTION_KEY].normalize(torch.from_numpy(data.action))  # (M, A)
        self._image_scales = {key: scales[key] for key in config.image_features}
        self._pooled = policy.observation_encoder.text_encoder.pool(
            *tokenizer(data.tasks)
        ).clone()  # (tasks, E)
        self._first, self._last = data.episode_bounds()

    def windows(self, frames: NDArray[np.int64]) -> Windows:
        """The frames around each of ``frames`` (B,), held at the episode's ends as LeRobot does."""
        first, last = self._first[frames][:, None], self._last[frames][:, None]  # (B, 1)
        steps, horizon = self.config.n_obs_steps, self.config.horizon
        observed = frames[:, None] + np.arange(1 - steps, 1)
        commanded = frames[:, None] + np.arange(1 - steps, 1 - steps + horizon)
        outside = (commanded < first) | (commanded > last)
        return Windows(np.clip(observed, first, last), np.clip(commanded, first, last), outside)

    def batch(self, frames: NDArray[np.int64], features: Tensor | None = None) -> Batch:
        """One batch.

        Args:
            frames: (B,) the newest observed frame of each example.
            features: (M, N * F) of a frozen vision encoder; None reads the images.
        """
        windows = self.windows(frames)
        observed, commanded = torch.from_numpy(windows.observed), torch.from_numpy(windows.commanded)
        return Batch(
            state=self._state[observed],
            pooled_text=self._pooled[torch.from_numpy(self.data.task_index[frames])],
            action=self._action[commanded],
            action_is_pad=torch.from_numpy(windows.is_pad),
            images=self.images(windows.observed) if features is None and self._image_scales else None,
            image_features=None if features is None else features[observed],
        )

    def images(self, frames: NDArray[np.int64]) -> Tensor:
        """Normalised images of frames (B, S): (B, S, N, 3, h, w)."""
        cameras = []
        for key, scale in self._image_scales.items():
            pixels = torch.from_numpy(
                self.data.images[key.removeprefix(IMAGE_PREFIX)][frames]
            )  # (B, S, h, w, 3)
            cameras.append(scale.normalize(pixels.permute(0, 1, 4, 2, 3).to(torch.float32) / 255))
        return torch.stack(cameras, dim=2)

    @torch.no_grad()
    def all_features(self, policy: DiTPolicy, chunk: int = 256) -> Tensor:
        """What the vision encoder makes of every frame (M, N * F), for training with it frozen."""
        was_training = policy.training
        policy.eval()
        parts = [
            policy.observation_encoder.encode_images(self.images(frames[:, None]))[:, 0]
            for frames in np.array_split(
                np.arange(len(self.data.state)), max(1, len(self.data.state) // chunk)
            )
        ]
        policy.train(was_training)
        return torch.cat(parts)


def _check(data: Demonstrations, config: PolicyConfig) -> None:
    wanted = {
        key.removeprefix(IMAGE_PREFIX): feature.shape[1:] for key, feature in config.image_features.items()
    }
    missing = sorted(set(wanted) - set(data.images))
    if missing:
        raise DatasetError(f"dataset: the policy reads the cameras {sorted(wanted)}, missing: {missing}")
    for name, shape in wanted.items():
        if tuple(data.image_shapes[name]) != tuple(shape):
            raise DatasetError(
                f"dataset: camera {name}: expected {tuple(shape)} pixels, got {data.image_shapes[name]}"
            )
    for name, got, expected in (
        ("state", data.state.shape[1], config.state_dim),
        ("action", data.action.shape[1], config.action_dim),
    ):
        if got != expected:
            raise DatasetError(f"dataset: {name}: the policy expects {expected} entries, got {got}")
