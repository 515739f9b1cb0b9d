# SPDX-License-Identifier: Apache-2.0
"""What the frames of demonstrations teach a vision encoder by themselves: where the robot is, and will be.

Nothing but the datasets is needed. An encoder that tells the joints from an image sees the arms, and one that
tells how they will move in the next second has to see what they move to.

Shapes: M frames, K of them that are used, N cameras, B batch, D state entries, G targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import camera_names
from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.encoders import ObservationEncoder
from dit_policy_ros.policy.processing import Normalizer
from dit_policy_ros.training.batches import Augmentation

type Predicted = Literal["joints", "coming"]

_AHEAD = (0.25, 0.5, 1.0)  # [s] at which the coming motion is predicted


@dataclass(frozen=True, slots=True)
class ChosenFrames:
    """Frames of demonstrations and what is to be predicted from each of their images.

    images: uint8 (K, N, h, w, 3). targets: (K * N, G), frame after frame, camera after camera.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]


def choose_frames(
    data: Demonstrations, keys: list[str], usable: NDArray[np.bool_], most: int, predicted: Predicted
) -> ChosenFrames:
    """Choose frames evenly, in their order, and read their images.

    Args:
        data: the demonstrations.
        keys: of the cameras.
        usable: bool (M,) the frames that may be used.
        most: K at most.
        predicted: ``joints``: the state itself; ``coming``: how it will have changed a quarter of a second,
            half a second and a second later, or at the end of the episode.
    """
    frames = evenly(usable, most)
    names = camera_names(keys)
    images = np.stack([np.asarray(data.images[names[key]][frames]) for key in keys], axis=1)
    targets = data.state[frames] if predicted == "joints" else coming_states(data, frames)  # (K, G)
    return ChosenFrames(images, np.repeat(targets, len(keys), axis=0).astype(np.float32))


def evenly(usable: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """At most ``most`` of the usable frames (M,), evenly spread and in their order: (K,)."""
    frames = np.flatnonzero(usable)
    return frames[np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))]


def coming_states(
    data: Demonstrations, frames: NDArray[np.int64], ahead: Sequence[float] = _AHEAD
) -> NDArray[np.float32]:
    """How the state will have changed at times ``ahead`` [s], at most to the end: (K,) -> (K, times * D)."""
    last = np.searchsorted(data.episode_index, data.episode_index[frames], side="right") - 1  # (K,)
    steps = [max(1, round(seconds * data.fps)) for seconds in ahead]
    changes = [data.state[np.minimum(frames + step, last)] - data.state[frames] for step in steps]
    return np.concatenate(changes, axis=1)


class FrameImages:
    """The images of chosen frames as a vision encoder reads them."""

    def __init__(
        self,
        chosen: ChosenFrames,
        scales: list[Normalizer],
        encoder: ObservationEncoder,
        augmentation: float,
        device: torch.device,
    ) -> None:
        """Prepare.

        Args:
            chosen: the frames.
            scales: of each camera, in the order of the images.
            encoder: the policy's, which resizes and crops.
            augmentation: strength of random colour changes; 0 is off.
            device: of the encoder.
        """
        self._chosen, self._encoder, self._device = chosen, encoder, device
        self._scales = [scale.to(device) for scale in scales]
        self._augment = Augmentation(augmentation) if augmentation else None

    def __call__(self, numbers: NDArray[np.int64]) -> Tensor:
        """Images (B, 3, h, w) of the targets numbered (B,)."""
        cameras = self._chosen.images.shape[1]
        frame, camera = np.divmod(numbers, cameras)
        pixels = torch.from_numpy(self._chosen.images[frame, camera]).to(self._device)  # (B, h, w, 3)
        images = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        if self._augment is not None and self._encoder.training:
            images = self._augment(images[:, None, None])[:, 0, 0]
        normalized = torch.empty_like(images)
        for number, scale in enumerate(self._scales):
            rows = torch.from_numpy(np.flatnonzero(camera == number)).to(self._device)
            normalized[rows] = scale.normalize(images[rows])
        return self._encoder.resize_and_crop(normalized)
