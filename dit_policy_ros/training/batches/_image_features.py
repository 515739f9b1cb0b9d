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
from dit_policy_ros.data.video import ImageBatch
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import Normalizer

_BATCH = 32  # images of a camera at once; more fit less well into the CPU's caches


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
        (M, N * F) on the CPU, or (M, N, P, F) if the network reads tokens.
    """
    was_training, device = policy.training, next(policy.parameters()).device
    policy.eval()
    encoder, keys = policy.observation_encoder, list(policy.config.image_features)
    names = camera_names(keys)
    done, total, cameras = 0, len(keys) * int(is_wanted.sum()), list[Tensor]()
    for number, key in enumerate(keys):
        features, scale = torch.empty(0), scales[key].to(device)
        for rows, images in _wanted_images(data, names[key], is_wanted):
            pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(torch.float32) / 255
            encoded = encoder.encode_camera(number, scale.normalize(pixels)).cpu()  # (B, P, F)
            if not len(features):
                features = torch.zeros(len(is_wanted), *encoded.shape[1:])
            features[torch.from_numpy(rows)] = encoded
            done += len(rows)
            report(done, total)
        cameras.append(features)
    policy.train(was_training)
    stacked = torch.stack(cameras, dim=1)  # (M, N, P, F)
    return stacked if encoder.tokens is not None else stacked.flatten(1)


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
