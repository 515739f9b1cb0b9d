# SPDX-License-Identifier: Apache-2.0
"""Features of all images of a frozen vision encoder, computed once instead of at every step.

Shapes: M frames, K of them that are encoded, B images at once, N cameras, P tokens of an image, F features of
a token.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import camera_names
from dit_policy_ros.data.dataset import Demonstrations, FrameStore
from dit_policy_ros.data.memory import available_memory
from dit_policy_ros.data.video import ImageBatch
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import Normalizer
from dit_policy_ros.training.batches._kept_features import KeptFeatures
from dit_policy_ros.training.errors import TrainingError

_BATCH = 32  # images of a camera at once; more fit less well into the CPU's caches
_SHARE = 0.8  # of the free memory that features may take
_VERSION = 1  # of stored features; to be raised when the same images and weights give others

type Report = Callable[[int, int], None]


@torch.no_grad()
def encode_frames(
    policy: DiTPolicy,
    data: Demonstrations,
    scales: Mapping[str, Normalizer],
    is_wanted: NDArray[np.bool_],
    report: Report,
    store: FrameStore | None = None,
) -> KeptFeatures:
    """Encode the images of the wanted frames, or read their features from a store.

    Args:
        policy: the network whose encoder reads the images.
        data: the demonstrations.
        scales: normalisers by feature key.
        is_wanted: (M,) which frames to encode.
        report: called with the number of encoded images and their total.
        store: where the features of datasets are kept and looked for; without it they are in memory.

    Returns:
        On the CPU (K, N * F), or (K, N, P, F) if the network reads tokens. Those of whole grids
        (``image_pooling: attention``) are in half precision, because there are many.

    Raises:
        TrainingError: memory has no room for them.
        DatasetError: the store's disk has no room for them.
    """
    if not is_wanted.any():
        raise ValueError("expected frames to encode, got none")
    was_training = policy.training
    policy.eval()
    encoding = _Encoding(policy, data, scales, is_wanted)
    image = encoding.blank()  # (P, F)
    shape = int(is_wanted.sum()), len(policy.config.image_features), *image.shape
    if store is None or store.folder is None or not all(source.content for source in data.sources):
        _check_memory(image.nbytes * encoding.images, encoding.images)
        features = torch.empty(shape, dtype=image.dtype)
        encoding.fill(features, report)
    else:
        stored = store.array(
            encoding.identity(),
            shape,
            lambda array: encoding.fill(torch.from_numpy(array), report),
            group=["features", [source.name for source in data.sources]],
            dtype=image.numpy().dtype,
        )
        with warnings.catch_warnings():  # torch warns that nobody may write into it; nobody does
            warnings.filterwarnings("ignore", message=".*not writable")
            features = torch.from_numpy(stored)
    policy.train(was_training)
    if policy.observation_encoder.tokens is None:
        features = features.flatten(1)
    return KeptFeatures.of(features, is_wanted)


@dataclass(frozen=True, slots=True)
class _Encoding:
    """What is to be encoded, and by what; see ``encode_frames``."""

    policy: DiTPolicy
    data: Demonstrations
    scales: Mapping[str, Normalizer]
    is_wanted: NDArray[np.bool_]  # (M,)

    @property
    def keys(self) -> list[str]:
        """Of the cameras."""
        return list(self.policy.config.image_features)

    @property
    def images(self) -> int:
        """How many images are encoded."""
        return len(self.keys) * int(self.is_wanted.sum())

    def blank(self) -> Tensor:
        """The features (P, F) of a black image."""
        return self._encoded(0, np.zeros((1, *self._read_shapes()[0]), np.uint8))[0]

    def fill(self, features: Tensor, report: Report) -> None:
        """Write the features of all wanted frames: (K, N, P, F)."""
        done, names = 0, camera_names(self.keys)
        order = np.cumsum(self.is_wanted) - 1  # (M,)
        for number, key in enumerate(self.keys):
            for rows, images in _wanted_images(self.data, names[key], self.is_wanted):
                features[torch.from_numpy(order[rows]), number] = self._encoded(number, images)
                done += len(rows)
                report(done, self.images)

    def identity(self) -> list[object]:
        """Everything that the features depend on, as JSON values."""
        config = self.policy.config
        weights = self.policy.observation_encoder.state_dict()
        scales = [self.scales[key] for key in self.keys]
        return [
            ["features", _VERSION],
            [[source.name, source.content] for source in self.data.sources],
            [self.keys, self._read_shapes(), config.image_resize_shape, config.image_crop_shape],
            [config.vision_encoder_name, config.vision_stride, config.image_pooling, config.image_blur],
            [config.conditioning, config.image_tokens],
            _digest({name: weight for name, weight in weights.items() if name.startswith("vision_encoder")}),
            [[s.mode, s.eps, s.mean_or_low.tolist(), s.std_or_high.tolist()] for s in scales],
            hashlib.sha256(np.packbits(self.is_wanted).data).hexdigest(),
        ]

    def _read_shapes(self) -> list[tuple[int, ...]]:
        """(h, w, 3) of each camera's images as they are read."""
        read = {**self.data.images, **self.data.videos}
        return [tuple(read[name].shape[1:]) for name in camera_names(self.keys).values()]

    def _encoded(self, camera: int, images: NDArray[np.uint8]) -> Tensor:
        """Features (B, P, F) of images (B, h, w, 3), on the CPU."""
        encoder = self.policy.observation_encoder
        device = next(encoder.parameters()).device
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(torch.float32) / 255
        scale = self.scales[self.keys[camera]].to(device)
        encoded = encoder.encode_camera(camera, scale.normalize(pixels)).cpu()
        return encoded if encoder.attention_pooling is None else encoded.to(torch.float16)


def _check_memory(needed: int, images: int) -> None:
    """TrainingError if memory has no room for the features of so many images [byte]."""
    free = int(_SHARE * available_memory())
    if needed > free:
        raise TrainingError(
            f"the features of {images} images take {needed / 1e9:.1f} GB, and memory has room for "
            f"{free / 1e9:.1f} GB. Keep them in files (--frame-store FOLDER), start fewer examples "
            f"(--example-stride), or give smaller images (--policy image_resize_shape) or fewer features "
            f"(--policy image_pooling=grid)"
        )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(list(tensors)).encode())
    for tensor in tensors.values():
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _wanted_images(data: Demonstrations, camera: str, is_wanted: NDArray[np.bool_]) -> Iterator[ImageBatch]:
    """Frame numbers (B,) and images of a camera, a few at a time."""
    if camera in data.videos:
        for rows, images in data.videos[camera].batches(is_wanted):
            for first in range(0, len(rows), _BATCH):
                yield rows[first : first + _BATCH], images[first : first + _BATCH]
        return
    wanted = np.flatnonzero(is_wanted)
    for first in range(0, len(wanted), _BATCH):
        rows = wanted[first : first + _BATCH]
        yield rows, data.images[camera][rows]
