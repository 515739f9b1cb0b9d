# SPDX-License-Identifier: Apache-2.0
"""Decodes the image messages of an observation; each frame is decoded only once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.sensing import Observation, ObservationBuilder
from dit_policy_ros.ros.common import image_to_rgb


class UndecodableImage(StreamError):
    """An image message of a camera cannot be decoded."""

    def __init__(self, camera: str, image: Any, reason: str) -> None:
        super().__init__(reason)
        self.camera, self.image = camera, image


class FrameDecoder:
    """Decodes one observation after the other and keeps the frames of the last one."""

    def __init__(self, shapes: Mapping[str, tuple[int, int]]) -> None:
        """shapes: height and width [pixel] that the policy expects, per camera."""
        self._shapes = shapes
        self._frames: dict[str, dict[int, np.ndarray]] = {name: {} for name in shapes}  # by stamp [ns]

    def newest(
        self, observations: ObservationBuilder, now_ns: int
    ) -> tuple[Observation, dict[str, np.ndarray]]:
        """The newest observation whose images can all be decoded, and its frames; see `__call__`.

        An image that cannot be decoded is discarded and counted, and the one before takes its place.

        Raises:
            StaleObservation: a stream has no fresh image left, or none at all.
        """
        while True:
            observation = observations.build(now_ns)
            try:
                return observation, self(observation)
            except UndecodableImage as error:
                observations.images[error.camera].discard(error.image, str(error))

    def __call__(self, observation: Observation) -> dict[str, np.ndarray]:
        """The frames of each camera, uint8 (n_obs, H, W, 3) RGB, oldest first.

        Raises:
            UndecodableImage: a message has another aspect ratio, an unknown encoding or too little data.
        """
        images = {}
        for name, (height, width) in self._shapes.items():
            stamps, known = observation.image_stamps_ns[name], self._frames[name]
            frames: dict[int, np.ndarray] = {}
            for stamp_ns, message in zip(stamps, observation.images[name], strict=True):
                if stamp_ns not in frames:
                    frame = known.get(stamp_ns)
                    if frame is None:
                        frame = _decode(name, message, height, width)
                    frames[stamp_ns] = frame
            self._frames[name] = frames
            images[name] = np.stack([frames[stamp_ns] for stamp_ns in stamps])
        return images


def _decode(camera: str, message: Any, height: int, width: int) -> np.ndarray:
    try:
        return image_to_rgb(message, height, width)
    except StreamError as error:
        raise UndecodableImage(camera, message, str(error)) from error
