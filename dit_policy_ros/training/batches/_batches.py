# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to normalised training batches.

Shapes: M frames, B batch, S observation steps, I of them whose images are read, N cameras, T horizon, D state
entries, A action entries, F features of an image, E features of a text.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.processing import (
    DEFAULT_EPS,
    EMPTY_INSTRUCTION,
    Stats,
    TaskTokenizer,
    action_origin,
    make_normalizer,
)
from dit_policy_ros.training.batches._augmentation import Augmentation
from dit_policy_ros.training.batches._chunk_statistics import chunk_stats
from dit_policy_ros.training.batches._idle_frames import non_idle_mask
from dit_policy_ros.training.batches._image_features import encode_frames
from dit_policy_ros.training.batches._raw_batch import RawBatch
from dit_policy_ros.training.batches._windows import WindowIndex, Windows

_PART = 4096  # chunks held in memory at once


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How examples are varied, and which frames make none. At 0 each option is off."""

    instruction_dropout: float = 0.0  # share of training examples that get the empty instruction
    augmentation: float = 0.0  # strength of the random colour changes of training images
    drop_idle: float = 0.0  # share of a joint's fast speed below which it is idle


DEFAULT_OPTIONS = BatchOptions()


class BatchMaker:
    """Makes batches of demonstrations. Statistics and text features are computed once, at the start."""

    def __init__(
        self,
        data: Demonstrations,
        policy: DiTPolicy,
        tokenizer: TaskTokenizer,
        stats: Stats | None = None,
        options: BatchOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Prepare batches.

        Args:
            data: the demonstrations.
            policy: its configuration gives the shape of a batch, its frozen text encoder reads the tasks.
            tokenizer: of the instructions.
            stats: statistics to normalise by; None computes those of the demonstrations.
            options: dropped instructions, augmentation and idle frames.

        Raises:
            DatasetError: the demonstrations lack a camera or have other dimensions than the policy.
        """
        _check_shapes(data, policy.config)
        self.data, self.config, self.options = data, policy.config, options
        self.non_idle = non_idle_mask(data, options.drop_idle)  # bool (M,)
        self._index = WindowIndex(data, self.non_idle, self.config.n_obs_steps, self.config.horizon)
        self._raw_state = torch.from_numpy(data.state)  # (M, D) [rad or m]
        self._raw_action = torch.from_numpy(data.action)  # (M, A) [rad or m]
        self.stats: Stats = stats or self._dataset_stats()
        self.scales = {
            key: make_normalizer(
                key,
                feature,
                self.config.normalization_mapping[feature.type.value],
                self.stats.get(key, {}),
                DEFAULT_EPS,
                "statistics",
            )
            for key, feature in {**self.config.input_features, **self.config.output_features}.items()
        }
        self._augment = Augmentation(options.augmentation) if options.augmentation else None
        self._state = self.scales[STATE_KEY].normalize(self._raw_state)  # (M, D)
        texts = [*data.tasks, EMPTY_INSTRUCTION]  # the last row replaces a dropped instruction
        device = next(policy.parameters()).device
        tokens = [each.to(device) for each in tokenizer(texts)]
        self._pooled_text = policy.observation_encoder.text_encoder.pool(*tokens).cpu()  # (tasks + 1, E)

    def windows(self, newest: NDArray[np.int64]) -> Windows:
        """The frames of the examples whose newest observed frames are (B,)."""
        return self._index.windows(newest)

    def read(self, newest: NDArray[np.int64], features: Tensor | None = None) -> RawBatch:
        """Read what one batch needs.

        Args:
            newest: (B,) the newest observed frame of each example.
            features: (M, N * F) of a frozen vision encoder; None reads the images.
        """
        windows = self.windows(newest)
        observed, commanded = torch.from_numpy(windows.observed), torch.from_numpy(windows.commanded)
        seen = windows.observed[:, -self.config.read_image_steps :]  # (B, I)
        return RawBatch(
            state=self._state[observed],
            action=self.scales[ACTION_KEY].normalize(self._relative_actions(commanded, newest)),
            is_pad=torch.from_numpy(windows.is_pad),
            task=torch.from_numpy(self.data.task_index[newest]),
            images=self._read_images(seen) if features is None and self._image_keys else None,
            features=None if features is None else features[torch.from_numpy(seen)],
        )

    def collate(self, raw: RawBatch, training: bool = False) -> Batch:
        """Normalise a batch on its device; in training also augment images and drop instructions.

        Random numbers come from torch's global generators.
        """
        device = raw.state.device
        task, images = raw.task, None
        if training and self.options.instruction_dropout:
            # Ho and Salimans 2022 (arXiv 2207.12598), algorithm 1.
            is_dropped = torch.rand(len(task), device=device) < self.options.instruction_dropout  # (B,)
            task = torch.where(is_dropped, len(self.data.tasks), task)
        if raw.images is not None:
            images = self._normalize_images(raw.images, self._augment if training else None)
        return Batch(
            state=raw.state,
            pooled_text=self._pooled_text.to(device)[task],
            action=raw.action,
            action_is_pad=raw.is_pad,
            images=images,
            image_features=raw.features,
        )

    def batch(self, newest: NDArray[np.int64], features: Tensor | None = None) -> Batch:
        """One batch without augmentation, on the CPU; arguments as in ``read``."""
        return self.collate(self.read(newest, features))

    def encode_frames(
        self,
        policy: DiTPolicy,
        is_wanted: NDArray[np.bool_] | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tensor:
        """Image features of the wanted frames, for training with a frozen vision encoder.

        Args:
            policy: the network whose encoder reads the images.
            is_wanted: (M,) which frames to encode; None encodes all. The features of the others are zeros.
            report: called with the number of encoded images and their total.

        Returns:
            (M, N * F) on the CPU, or (M, N, 1, F) if the network reads tokens.
        """
        if is_wanted is None:
            is_wanted = np.ones(len(self._state), bool)
        return encode_frames(policy, self.data, self.scales, is_wanted, report)

    def largest_actions(self) -> NDArray[np.float32]:
        """The largest absolute value (A,) of all demonstrated actions, normalised."""
        scale = self.scales[ACTION_KEY]
        if not self.config.relative_entries:
            return scale.normalize(self._raw_action).abs().amax(dim=0).numpy()
        largest = [scale.normalize(part).abs().amax(dim=(0, 1)) for part in self._chunks()]
        return torch.stack(largest).amax(dim=0).numpy()

    def _dataset_stats(self) -> Stats:
        """Statistics of the data; for relative actions those of all chunks, as the network predicts them."""
        stats = {
            key: {name: torch.as_tensor(value) for name, value in group.items()}
            for key, group in self.data.stats.items()
        }
        if self.config.relative_entries:
            stats[ACTION_KEY] = chunk_stats(self._chunks())
        return stats

    def _chunks(self) -> Iterator[Tensor]:
        """All demonstrated chunks (B, T, A) [rad or m], part by part."""
        frames = self._index.commanded_frames
        for part in np.array_split(frames, -(-len(frames) // _PART)):
            windows = self.windows(part)
            valid = np.where(windows.is_pad, part[:, None], windows.commanded)  # (B, T)
            yield self._relative_actions(torch.from_numpy(valid), part)

    def _relative_actions(self, commanded: Tensor, newest: NDArray[np.int64]) -> Tensor:
        """Actions (B, T, A) [rad or m] of frames (B, T); relative entries minus the state at ``newest``."""
        actions, entries = self._raw_action[commanded], self.config.relative_entries
        if not entries:
            return actions
        return actions - action_origin(self._raw_state[torch.from_numpy(newest)], entries, actions.shape[-1])

    @property
    def _image_keys(self) -> list[str]:
        return list(self.config.image_features)

    def _read_images(self, frames: NDArray[np.int64]) -> Tensor:
        """Images of frames (B, I): uint8 (B, I, N, h, w, 3)."""
        cameras = [self.data.images[key.removeprefix(IMAGE_PREFIX)][frames] for key in self._image_keys]
        return torch.from_numpy(np.stack(cameras, axis=2))

    def _normalize_images(self, pixels: Tensor, augment: Augmentation | None) -> Tensor:
        """Images uint8 (B, I, N, h, w, 3) -> normalised (B, I, N, 3, h, w)."""
        images = pixels.permute(0, 1, 2, 5, 3, 4).to(torch.float32) / 255
        if augment is not None:
            images = augment(images)
        normalized = [
            self.scales[key].to(images.device).normalize(images[:, :, n])
            for n, key in enumerate(self._image_keys)
        ]
        return torch.stack(normalized, dim=2)


def _check_shapes(data: Demonstrations, config: PolicyConfig) -> None:
    expected_shapes = {
        key.removeprefix(IMAGE_PREFIX): feature.shape[1:] for key, feature in config.image_features.items()
    }
    missing = sorted(set(expected_shapes) - set(data.images) - set(data.videos))
    if missing:
        raise DatasetError(
            f"dataset: the policy reads the cameras {sorted(expected_shapes)}, missing: {missing}"
        )
    for name, shape in expected_shapes.items():
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
