# SPDX-License-Identifier: Apache-2.0
"""Features of all images of a frozen vision encoder, computed once instead of at every step.

Shapes: M frames, B images at once, N cameras, P tokens of an image, F features of a token.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import camera_names
from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.data.memory import available_memory
from dit_policy_ros.data.video import ImageBatch
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import Normalizer
from dit_policy_ros.training.errors import TrainingError

_BATCH = 32  # images of a camera at once; more fit less well into the CPU's caches
_SHARE = 0.8  # of the free memory that features may take


@torch.no_grad()
def encode_frames(
    policy: DiTPolicy,
    data: Demonstrations,
    scales: Mapping[str, Normalizer],
    is_wanted: NDArray[np.bool_],
    report: Callable[[int, int], None],
) -> Tensor:
    """Encode the images of the wanted frames.

    Args:
        policy: the network whose encoder reads the images.
        data: the demonstrations.
        scales: normalisers by feature key.
        is_wanted: (M,) which frames to encode. The features of the others are zeros.
        report: called with the number of encoded images and their total.

    Returns:
        (M, N * F) on the CPU, or (M, N, P, F) if the network reads tokens. Those of whole grids
        (``image_pooling: attention``) are in half precision, because there are many.

    Raises:
        TrainingError: memory has no room for them.
    """
    was_training, device = policy.training, next(policy.parameters()).device
    policy.eval()
    encoder, keys = policy.observation_encoder, list(policy.config.image_features)
    names = camera_names(keys)
    done, total = 0, len(keys) * int(is_wanted.sum())
    features: Tensor | None = None  # (M, N, P, F)
    for number, key in enumerate(keys):
        scale = scales[key].to(device)
        for rows, images in _wanted_images(data, names[key], is_wanted):
            pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(torch.float32) / 255
            encoded = encoder.encode_camera(number, scale.normalize(pixels)).cpu()  # (B, P, F)
            if encoder.attention_pooling is not None:
                encoded = encoded.to(torch.float16)
            if features is None:
                features = _room(encoded[0], len(is_wanted), int(is_wanted.sum()), len(keys))
            features[torch.from_numpy(rows), number] = encoded
            done += len(rows)
            report(done, total)
    policy.train(was_training)
    if features is None:
        raise ValueError("expected frames to encode, got none")
    return features if encoder.tokens is not None else features.flatten(1)


def _room(image: Tensor, frames: int, wanted: int, cameras: int) -> Tensor:
    """Zeros for the features of all frames, like those of one image (P, F): (M, N, P, F)."""
    needed, free = image.nbytes * wanted * cameras, int(_SHARE * available_memory())
    if needed > free:
        raise TrainingError(
            f"the features of {wanted * cameras} images take {needed / 1e9:.1f} GB, and memory has room for "
            f"{free / 1e9:.1f} GB. Give fewer datasets (--dataset), smaller images "
            f"(--policy image_resize_shape), or fewer features (--policy image_pooling=grid)"
        )
    return torch.zeros(frames, cameras, *image.shape, dtype=image.dtype)  # pages come when they are written


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
