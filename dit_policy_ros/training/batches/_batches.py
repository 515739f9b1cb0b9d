# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to normalised training batches.

Shapes: M frames, B batch, S observation steps, I of them whose images are read, N cameras, T horizon, D state
entries, A action entries, F features of an image, E features of a text.
"""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY, camera_names
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import Demonstrations, FrameStore
from dit_policy_ros.data.video import RandomImages
from dit_policy_ros.policy.checkpoint import KnownInstructions
from dit_policy_ros.policy.config import NormalizationMode, PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import (
    DEFAULT_EPS,
    JoinedRange,
    StateRange,
    Stats,
    TaskTokenizer,
    action_origin,
    join_normalizers,
    join_ranges,
    make_normalizer,
    raise_resting,
)
from dit_policy_ros.training.batches._batch_source import BatchSource
from dit_policy_ros.training.batches._chunk_statistics import chunk_stats
from dit_policy_ros.training.batches._collator import DEFAULT_OPTIONS, BatchOptions, Collator
from dit_policy_ros.training.batches._gripper_statistics import with_small_grippers
from dit_policy_ros.training.batches._idle_frames import non_idle_mask
from dit_policy_ros.training.batches._image_features import encode_frames
from dit_policy_ros.training.batches._kept_features import KeptFeatures
from dit_policy_ros.training.batches._raw_batch import RawBatch
from dit_policy_ros.training.batches._rotation_statistics import with_even_rotations
from dit_policy_ros.training.batches._windows import WindowIndex
from dit_policy_ros.training.errors import TrainingError

_PART = 4096  # chunks held in memory at once
_STATES = 1 << 20  # states that are looked through at once

logger = logging.getLogger(__name__)


class BatchMaker(BatchSource):
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
            stats: statistics to normalise by; those of the demonstrations are computed for what they lack.
            options: dropped instructions, augmentation, idle frames and the scale of grippers.

        Raises:
            TrainingError: the scale of grippers does not fit the statistics or the actions.
            DatasetError: the demonstrations lack a camera or have other dimensions than the policy.
        """
        _check_shapes(data, policy.config)
        self.data, self.config, self.options = data, policy.config, options
        self.non_idle = non_idle_mask(data, options.drop_idle)  # bool (M,)
        self._index = WindowIndex(data, self.non_idle, self.config.n_obs_steps, self.config.horizon)
        self._raw_state = torch.from_numpy(data.state)  # (M, D) [rad or m]
        self._raw_action = torch.from_numpy(data.action)  # (M, A) [rad or m]
        used = (*self.config.image_features, *self.config.state_parts)  # a checkpoint may name other inputs
        self.stats: Stats = stats or {}
        if options.gripper_scale != 1 and ACTION_KEY in self.stats:
            raise TrainingError(
                f"gripper_scale: expected 1, because actions are normalised by the checkpoint's statistics, "
                f"got {options.gripper_scale:g}; give --statistics dataset, or begin without --init"
            )
        if any(key not in self.stats for key in (*used, ACTION_KEY)):
            self.stats = {**self._dataset_stats(), **self.stats}
        inputs = {key: self.config.input_features[key] for key in used}
        self.scales = {
            key: make_normalizer(
                key,
                feature,
                self.config.normalization_mapping.get(feature.type.value, NormalizationMode.IDENTITY),
                self.stats.get(key, {}),
                DEFAULT_EPS,
                "statistics",
            )
            for key, feature in {**inputs, **self.config.output_features}.items()
        }
        parts = self.config.state_parts
        self._state_scale = join_normalizers([self.scales[key] for key in parts], tuple(parts.values()))
        self._known = self._known_range()
        image_scales = [self.scales[key] for key in self.config.image_features]
        self._collator = Collator(policy, tokenizer, data.tasks, image_scales, options)

    def known_instructions(self) -> KnownInstructions:
        """What the checkpoint stores of the instructions; their tasks are numbered as in the data."""
        return self._collator.known_instructions()

    def read(self, newest: NDArray[np.int64], features: KeptFeatures | None = None) -> RawBatch:
        """See BatchSource."""
        windows = self.windows(newest)
        commanded = torch.from_numpy(windows.commanded)
        seen = windows.observed[:, -self.config.read_image_steps :]  # (B, I)
        return RawBatch(
            state=self._normalized_states(windows.observed),
            action=self.scales[ACTION_KEY].normalize(self._relative_actions(commanded, newest)),
            is_pad=torch.from_numpy(windows.is_pad),
            task=torch.from_numpy(self.data.task_index[newest]),
            images=self._read_images(seen) if features is None and self._image_keys else None,
            features=None if features is None else features.of_frames(seen),
        )

    def encode_frames(
        self,
        policy: DiTPolicy,
        is_wanted: NDArray[np.bool_] | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
        store: FrameStore | None = None,
    ) -> KeptFeatures:
        """Image features of the wanted frames, for training with a frozen vision encoder.

        Args:
            policy: the network whose encoder reads the images.
            is_wanted: (M,) which frames to encode; None encodes all.
            report: called with the number of encoded images and their total.
            store: where features are kept and looked for; without it they are in memory.

        Returns:
            Those of an image (N * F), or (N, 1, F) if the network reads tokens.
        """
        if is_wanted is None:
            is_wanted = np.ones(len(self.data.state), bool)
        return encode_frames(policy, self.data, self.scales, is_wanted, report, store)

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
        for key in self.config.state_parts:
            stats[key] = raise_resting(stats[key])
        stats[ACTION_KEY] = raise_resting(stats[ACTION_KEY], keep_constants=True)
        for key, names in ((STATE_KEY, self.data.state_names), (ACTION_KEY, self.data.action_names)):
            if key in stats:
                stats[key] = with_even_rotations(stats[key], names)
        if (scale := self.options.gripper_scale) != 1:
            stats[ACTION_KEY] = with_small_grippers(stats[ACTION_KEY], self.data.action_names, scale)
        return stats

    def _known_range(self) -> StateRange | JoinedRange:
        """The range to which inference will limit states. Warns of joints that it changes."""
        known = join_ranges(
            [
                StateRange.of(self.stats.get(key, {}), length, self.scales[key].mode)
                for key, length in self.config.state_parts.items()
            ]
        )
        if resting := [self._state_name(i) for i in np.flatnonzero(known.resting)]:
            logger.warning(
                "%s hardly moved in the data: to the policy their readings are constants",
                ", ".join(resting),
            )
        limited = np.zeros(self.data.state.shape[1], bool)  # (D,)
        for begin in range(0, len(self.data.state), _STATES):
            states = self.data.state[begin : begin + _STATES]
            limited |= (known.limit(states) != states).any(axis=0)
        if far := [self._state_name(i) for i in np.flatnonzero(limited & ~known.resting)]:
            logger.warning(
                "%s go far outside the statistics that they are normalised by, and are limited; use "
                "--statistics dataset if that is not meant",
                ", ".join(far),
            )
        return known

    def _normalized_states(self, frames: NDArray[np.int64]) -> Tensor:
        """The normalised states (B, S, D) of frames (B, S), limited as inference limits them."""
        states = self._known.limit(self.data.state[frames])
        return self._state_scale.normalize(torch.from_numpy(states))

    def _state_name(self, entry: int) -> str:
        parts = list(self.config.state_parts.values())
        if entry >= parts[0]:
            labels = [f"{each.name} {label}" for each in self.data.vectors for label in each.entry_labels()]
            return labels[entry - parts[0]]
        names = self.data.state_names or ()
        return names[entry] if len(names) == parts[0] else f"state entry {entry}"

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
    def image_bytes(self) -> int:
        """Size of one example's images [byte]."""
        names = camera_names(self._image_keys).values()
        sizes = [int(np.prod(self.data.images[name].shape[1:])) for name in names]
        return self.config.read_image_steps * sum(sizes)

    @property
    def _image_keys(self) -> list[str]:
        return list(self.config.image_features)

    def _read_images(self, frames: NDArray[np.int64]) -> Tensor:
        """Images of frames (B, I): uint8 (B, I, N, h, w, 3)."""
        cameras = [self.data.images[name][frames] for name in camera_names(self._image_keys).values()]
        return torch.from_numpy(np.stack(cameras, axis=2))

    @property
    def is_streaming(self) -> bool:
        """Whether images are decoded anew for each batch."""
        return any(isinstance(each, RandomImages) for each in self.data.images.values())

    def action_errors(self, predicted: Tensor, demonstrated: Tensor, newest: NDArray[np.int64]) -> Tensor:
        """Mean absolute errors of actions over their entries [rad or m].

        Args:
            predicted: (B, T, A) normalised.
            demonstrated: (B, T, A) normalised.
            newest: (B,) the newest observed frame of each example.

        Returns:
            (B, T).
        """
        scale = self.scales[ACTION_KEY].to(predicted.device)
        return (scale.unnormalize(predicted) - scale.unnormalize(demonstrated)).abs().mean(dim=-1)


def _check_shapes(data: Demonstrations, config: PolicyConfig) -> None:
    names = camera_names(config.image_features)
    expected_shapes = {names[key]: feature.shape[1:] for key, feature in config.image_features.items()}
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
    if list(data.state_parts) != list(config.state_parts):
        raise DatasetError(
            f"dataset: the policy's state consists of {listing(config.state_parts)}, that of the data of "
            f"{listing(data.state_parts)}"
        )
    for name, got, expected in (
        *((key, data.state_parts[key], length) for key, length in config.state_parts.items()),
        ("action", data.action.shape[1], config.action_dim),
    ):
        if got != expected:
            raise DatasetError(f"dataset: {name}: the policy expects {expected} entries, got {got}")
