# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to normalised training batches.

Shapes: M frames, B batch, S observation steps, I of them whose images are read, N cameras, T horizon.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.data.video import ImageBatch
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
from dit_policy_ros.training.batches._idle_frames import non_idle_mask

_PART = 4096  # frames whose chunks are made at once
_ENCODED = 32  # images of a camera that are encoded at once
_QUANTILE_ROWS = 1_000_000  # torch.quantile takes no more than 16 million values


@dataclass(frozen=True, slots=True)
class Windows:
    """Which frames one training example reads: (B, S) observed, (B, T) commanded, (B, T) beyond the end."""

    observed: NDArray[np.int64]
    commanded: NDArray[np.int64]
    is_pad: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RawBatch:
    """What one batch reads of the data, not yet scaled: cheap to make and to move to a GPU."""

    state: Tensor  # (B, S, D) normalised
    action: Tensor  # (B, T, A) normalised
    is_pad: Tensor  # bool (B, T)
    task: Tensor  # (B,) into the pooled text
    images: Tensor | None  # uint8 (B, I, N, h, w, 3)
    features: Tensor | None  # (B, I, N * F)

    def to(self, device: torch.device) -> "RawBatch":
        """The same on another device."""
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        return RawBatch(**{n: t if t is None else t.to(device, non_blocking=True) for n, t in parts.items()})


class BatchMaker:
    """Cuts batches out of demonstrations; statistics and text are prepared once."""

    def __init__(
        self,
        data: Demonstrations,
        policy: DiTPolicy,
        tokenizer: TaskTokenizer,
        stats: Stats | None = None,
        instruction_dropout: float = 0.0,
        augmentation: float = 0.0,
        drop_idle: float = 0.0,
    ) -> None:
        """Prepare batches.

        Args:
            data: the demonstrations.
            policy: whose options say what a batch holds, and whose frozen text encoder reads the tasks.
            tokenizer: of the instructions.
            stats: what normalises; None takes the demonstrations' own.
            instruction_dropout: share of training examples that get the empty instruction.
            augmentation: strength of the random changes of training images; 0 makes none.
            drop_idle: share of a joint's fast speed below which it rests; frames in which all do are left out
                of what is commanded. 0 keeps all.

        Raises:
            DatasetError: the demonstrations lack a camera or have other dimensions than the policy.
        """
        config = policy.config
        _check(data, config)
        self.data, self.config = data, config
        self._first, self._last = data.episode_bounds()
        self.kept = non_idle_mask(data, drop_idle)  # bool (M,)
        self._frames = np.flatnonzero(self.kept)  # (K,) what is commanded, in order
        self._places = np.maximum(
            np.cumsum(self.kept) - 1, 0
        )  # (M,) of each frame, or the one before, among them
        self._raw_state = torch.from_numpy(data.state)  # (M, D) [rad or m]
        self._raw_action = torch.from_numpy(data.action)  # (M, A) [rad or m]
        self.stats: Stats = stats or self._own_stats()
        self.scales = {
            key: make_normalizer(
                key,
                feature,
                config.normalization_mapping[feature.type.value],
                self.stats.get(key, {}),
                DEFAULT_EPS,
                "statistics",
            )
            for key, feature in {**config.input_features, **config.output_features}.items()
        }
        self.instruction_dropout = instruction_dropout
        self._augment = Augmentation(augmentation) if augmentation else None
        self._state = self.scales[STATE_KEY].normalize(self._raw_state)  # (M, D)
        texts = [*data.tasks, EMPTY_INSTRUCTION]  # the last stands for a dropped one
        device = next(policy.parameters()).device
        tokens = [each.to(device) for each in tokenizer(texts)]
        self._pooled = policy.observation_encoder.text_encoder.pool(*tokens).cpu()  # (tasks + 1, E)

    def largest_actions(self) -> NDArray[np.float32]:
        """The largest absolute value (A,) of all demonstrated actions in the network's units."""
        scale = self.scales[ACTION_KEY]
        if not self.config.relative_entries:
            return scale.normalize(self._raw_action).abs().amax(dim=0).numpy()
        largest = [scale.normalize(part).abs().amax(dim=(0, 1)) for part in self._all_chunks()]
        return torch.stack(largest).amax(dim=0).numpy()

    def _own_stats(self) -> Stats:
        """Statistics of the data; those of relative actions are of all chunks, as the network sees them."""
        stats = {
            key: {name: torch.as_tensor(value) for name, value in group.items()}
            for key, group in self.data.stats.items()
        }
        if self.config.relative_entries:
            stats[ACTION_KEY] = chunk_stats(self._all_chunks())
        return stats

    def _all_chunks(self) -> Iterator[Tensor]:
        """All demonstrated actions (B, T, A) [rad or m] as the network is asked for them, part by part."""
        for part in np.array_split(self._frames, -(-len(self._frames) // _PART)):
            windows = self.windows(part)
            valid = np.where(windows.is_pad, part[:, None], windows.commanded)
            yield self._counted(torch.from_numpy(valid), part)

    def _counted(self, commanded: Tensor, newest: NDArray[np.int64]) -> Tensor:
        """Actions (B, T, A) [rad or m] of frames (B, T), counted from the state at the newest frames (B,)."""
        actions, entries = self._raw_action[commanded], self.config.relative_entries
        if not entries:
            return actions
        return actions - action_origin(self._raw_state[torch.from_numpy(newest)], entries, actions.shape[-1])

    def windows(self, frames: NDArray[np.int64]) -> Windows:
        """The frames around each of ``frames`` (B,), held at the episode's ends as LeRobot does.

        What is observed is what was there; what is commanded leaves pauses out.
        """
        first, last = self._first[frames][:, None], self._last[frames][:, None]  # (B, 1)
        steps, horizon = self.config.n_obs_steps, self.config.horizon
        observed = frames[:, None] + np.arange(1 - steps, 1)
        places = self._places[frames][:, None] + np.arange(1 - steps, 1 - steps + horizon)
        begin, end = self._places[first], self._places[last]
        outside = (places < begin) | (places > end)
        return Windows(np.clip(observed, first, last), self._frames[np.clip(places, begin, end)], outside)

    def cut(self, frames: NDArray[np.int64], features: Tensor | None = None) -> RawBatch:
        """Read what one batch needs.

        Args:
            frames: (B,) the newest observed frame of each example.
            features: (M, N * F) of a frozen vision encoder; None reads the images.
        """
        windows = self.windows(frames)
        observed, commanded = torch.from_numpy(windows.observed), torch.from_numpy(windows.commanded)
        seen = windows.observed[:, -self.config.read_image_steps :]  # (B, I)
        return RawBatch(
            state=self._state[observed],
            action=self.scales[ACTION_KEY].normalize(self._counted(commanded, frames)),
            is_pad=torch.from_numpy(windows.is_pad),
            task=torch.from_numpy(self.data.task_index[frames]),
            images=self._pixels(seen) if features is None and self._cameras else None,
            features=None if features is None else features[torch.from_numpy(seen)],
        )

    def finish(self, cut: RawBatch, training: bool = False) -> Batch:
        """Scale a batch where it is; in training also augment it and drop instructions.

        Draws from torch's global generators what is random.
        """
        device = cut.state.device
        task, images = cut.task, None
        if training and self.instruction_dropout:
            # Ho and Salimans 2022 (arXiv 2207.12598), algorithm 1.
            is_dropped = torch.rand(len(task), device=device) < self.instruction_dropout
            task = torch.where(is_dropped, len(self.data.tasks), task)
        if cut.images is not None:
            images = self._scaled(cut.images, self._augment if training else None)
        return Batch(
            state=cut.state,
            pooled_text=self._pooled.to(device)[task],
            action=cut.action,
            action_is_pad=cut.is_pad,
            images=images,
            image_features=cut.features,
        )

    def batch(self, frames: NDArray[np.int64], features: Tensor | None = None) -> Batch:
        """One batch as it is, on the CPU; the arguments are those of ``cut``."""
        return self.finish(self.cut(frames, features))

    @property
    def _cameras(self) -> list[str]:
        return list(self.config.image_features)

    def _pixels(self, frames: NDArray[np.int64]) -> Tensor:
        """Images of frames (B, I): uint8 (B, I, N, h, w, 3)."""
        cameras = [self.data.images[key.removeprefix(IMAGE_PREFIX)][frames] for key in self._cameras]
        return torch.from_numpy(np.stack(cameras, axis=2))

    def _scaled(self, pixels: Tensor, augment: Augmentation | None) -> Tensor:
        """Normalised images: uint8 (B, I, N, h, w, 3) -> (B, I, N, 3, h, w)."""
        images = pixels.permute(0, 1, 2, 5, 3, 4).to(torch.float32) / 255
        if augment is not None:
            images = augment(images)
        scaled = [
            self.scales[key].to(images.device).normalize(images[:, :, n])
            for n, key in enumerate(self._cameras)
        ]
        return torch.stack(scaled, dim=2)

    @torch.no_grad()
    def all_features(
        self,
        policy: DiTPolicy,
        wanted: NDArray[np.bool_] | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tensor:
        """What the vision encoder makes of every frame, for training with it frozen.

        Args:
            policy: whose encoder reads the images.
            wanted: (M,) which frames; None: all. The features of the others are zeros.
            report: called with the images encoded so far and their number.

        Returns:
            (M, N * F) on the CPU, or (M, N, 1, F) for tokens.
        """
        was_training, device = policy.training, next(policy.parameters()).device
        policy.eval()
        encoder = policy.observation_encoder
        wanted = np.ones(len(self._state), bool) if wanted is None else wanted
        done, total, cameras = 0, len(self._cameras) * int(wanted.sum()), list[Tensor]()
        for number, key in enumerate(self._cameras):
            features, scale = torch.empty(0), self.scales[key].to(device)
            for rows, images in self._parts(key, wanted):
                pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(torch.float32) / 255
                encoded = encoder.encode_camera(number, scale.normalize(pixels)).cpu()  # (B, P, F)
                if not len(features):
                    features = torch.zeros(len(self._state), *encoded.shape[1:])
                features[torch.from_numpy(rows)] = encoded
                done += len(rows)
                report(done, total)
            cameras.append(features)
        policy.train(was_training)
        stacked = torch.stack(cameras, dim=1)  # (M, N, P, F)
        return stacked if encoder.tokens is not None else stacked.flatten(1)

    def _parts(self, key: str, wanted: NDArray[np.bool_]) -> Iterator[ImageBatch]:
        """Rows (B,) and their images of a camera, a few at a time: more fit less well into the caches."""
        name = key.removeprefix(IMAGE_PREFIX)
        if name in self.data.videos:
            for rows, part in self.data.videos[name].batches(wanted):
                for first in range(0, len(rows), _ENCODED):
                    yield rows[first : first + _ENCODED], part[first : first + _ENCODED]
            return
        every = np.flatnonzero(wanted)
        for first in range(0, len(every), _ENCODED):
            rows = every[first : first + _ENCODED]
            yield rows, self.data.images[name][rows]


def chunk_stats(parts: Iterable[Tensor]) -> dict[str, Tensor]:
    """Statistics of actions (B, T, A), part by part, by name; quantiles of an even choice of rows."""
    count, total, squares, lows, highs, rows = 0, 0.0, 0.0, list[Tensor](), list[Tensor](), list[Tensor]()
    for part in parts:
        flat = part.flatten(0, 1)  # (B T, A)
        exact = flat.to(torch.float64)
        count += len(flat)
        total, squares = total + exact.sum(dim=0), squares + exact.square().sum(dim=0)
        lows.append(flat.amin(dim=0))
        highs.append(flat.amax(dim=0))
        rows.append(flat[:: 7 if part.shape[1] % 7 else 11])  # every place of a chunk in turn
    mean, some = torch.as_tensor(total / count), torch.cat(rows)
    variance = (torch.as_tensor(squares / count) - mean.square()).clamp(min=0.0)
    kept = some[:: -(-len(some) // _QUANTILE_ROWS)]
    quantiles = {f"q{percent:02d}": torch.quantile(kept, percent / 100, dim=0) for percent in (1, 10, 90, 99)}
    return {
        "min": torch.stack(lows).amin(dim=0),
        "max": torch.stack(highs).amax(dim=0),
        "mean": mean.to(torch.float32),
        "std": variance.sqrt().to(torch.float32),
        **quantiles,
    }


def _check(data: Demonstrations, config: PolicyConfig) -> None:
    wanted = {
        key.removeprefix(IMAGE_PREFIX): feature.shape[1:] for key, feature in config.image_features.items()
    }
    missing = sorted(set(wanted) - set(data.images) - set(data.videos))
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
