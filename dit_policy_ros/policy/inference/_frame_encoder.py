# SPDX-License-Identifier: Apache-2.0
"""Camera frames to features, each frame once: consecutive observations share frames.

A frame is identified by its pixels, not by its stamp. A driver that repeats a stamp, or a clock that was set
back, must not make the robot act on an old image.

Shapes: I observation steps whose images are read, N cameras, P tokens per image, F feature.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dit_policy_ros.policy.encoders import ObservationEncoder
from dit_policy_ros.policy.processing import Normalizer, resize_bytes

FRAMES_KEPT = 16  # per camera; a frame is needed while it is in an observation's history


class FrameEncoder:
    """Encodes frames, and keeps the features of the latest ones. Not thread-safe."""

    def __init__(
        self,
        encoder: ObservationEncoder,
        networks: Sequence[nn.Module],
        scales: Mapping[str, Normalizer],
        device: torch.device,
        batch: int | None = None,
        as_trained: bool = False,
    ) -> None:
        """Start with an empty cache.

        Args:
            encoder: the policy's, which resizes and crops images, and reads features from a network.
            networks: one per camera, or one for all of them.
            scales: normalisation by camera, in the checkpoint's order.
            device: where the networks are.
            batch: images per call of a network; None puts all new frames into one call.
            as_trained: normalise before resizing, as in training: slower, and equal to the last bit.
        """
        self.encoded = 0  # frames encoded so far
        self._encoder, self._scales, self._device, self._batch = encoder, scales, device, batch
        self._as_trained = as_trained
        shared = len(networks) == 1
        self._networks = {name: networks[0 if shared else i] for i, name in enumerate(scales)}
        self._features: OrderedDict[bytes, Tensor] = OrderedDict()  # each (P, F)
        self._capacity = max(FRAMES_KEPT, 2 * encoder.config.n_obs_steps) * len(scales)

    def warm_up(self) -> None:
        """Run each network on every number of new frames that an observation can have. Keeps no features."""
        config = self._encoder.config
        shape = next(iter(config.image_features.values())).shape  # 3, height, width
        frame = self._encoder.resize_and_crop(torch.zeros(1, *shape, device=self._device))
        for network, cameras in Counter(self._networks.values()).items():
            for count in range(1, (self._batch or cameras * config.read_image_steps) + 1):
                self._encoder.encode_preprocessed(network, frame.expand(count, -1, -1, -1))

    def encode(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """Encode frames in advance: per camera uint8 (any number, H, W, 3), of some cameras or all."""
        self._encode_new({name: [(self._key(name, f), f) for f in frames] for name, frames in images.items()})

    def __call__(self, images: Mapping[str, NDArray[np.uint8]]) -> Tensor:
        """Per camera uint8 (I, H, W, 3), all cameras -> (1, I, N * F), or (1, I, N, P, F) for tokens."""
        keyed = {name: [(self._key(name, f), f) for f in images[name]] for name in self._scales}
        self._encode_new(keyed)
        steps = zip(*([key for key, _ in frames] for frames in keyed.values()), strict=True)
        features = torch.stack([torch.stack([self._features[key] for key in step]) for step in steps])
        features = features[None]  # (1, I, N, P, F)
        return features if self._encoder.tokens is not None else features.flatten(2)

    def _key(self, name: str, frame: NDArray[np.uint8]) -> bytes:
        digest = hashlib.sha256(name.encode())
        digest.update(np.ascontiguousarray(frame).data)  # releases the interpreter's lock
        return digest.digest()

    def _encode_new(self, keyed: Mapping[str, list[tuple[bytes, NDArray[np.uint8]]]]) -> None:
        """Encode the frames that are not in the cache, in one batch per network."""
        batches: dict[nn.Module, dict[bytes, Tensor]] = {}
        for name, frames in keyed.items():
            for key, frame in frames:
                if key in self._features:
                    self._features.move_to_end(key)
                else:
                    batches.setdefault(self._networks[name], {})[key] = self._prepared(name, frame)
        for network, batch in batches.items():
            images = torch.cat(list(batch.values()))  # (M, 3, h, w)
            parts = images.split(self._batch or len(images))
            features = torch.cat(
                [self._encoder.encode_preprocessed(network, part) for part in parts]
            )  # (M, P, F)
            self._features.update(zip(batch, features.unbind(), strict=True))
            self.encoded += len(batch)
        while len(self._features) > self._capacity:
            self._features.popitem(last=False)

    def _prepared(self, name: str, frame: NDArray[np.uint8]) -> Tensor:
        """uint8 (H, W, 3) -> resized, cropped, normalised (1, 3, h, w).

        Resizing averages with weights that sum to one, and normalising is affine, so their order does not
        matter. Normalising the smaller image is faster. The memory layout stays (H, W, 3) until resizing,
        which is faster too.
        """
        config, scale = self._encoder.config, self._scales[name]
        if config.has_several_image_sizes and config.image_resize_shape is not None:
            # Training reads bytes that are resized already, because images of one batch have one size.
            resized = resize_bytes(frame, config.image_resize_shape).to(self._device).to(torch.float32)
            return scale.normalize(self._encoder.resize_and_crop(resized) / 255)
        # A copy: the caller's array may be read-only, or change during inference.
        pixels = torch.from_numpy(np.array(frame, order="C")).to(self._device)
        image = pixels.permute(2, 0, 1)[None].to(torch.float32)  # (1, 3, H, W)
        if self._as_trained:
            return self._encoder.resize_and_crop(scale.normalize(image / 255))
        return scale.normalize(self._encoder.resize_and_crop(image) / 255)
