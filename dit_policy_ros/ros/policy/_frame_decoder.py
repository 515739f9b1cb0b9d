# SPDX-License-Identifier: Apache-2.0
"""Decodes the image messages of an observation; each frame is decoded only once."""

from collections.abc import Mapping

import numpy as np

from dit_policy_ros.core.sensing import Observation
from dit_policy_ros.ros.common import image_to_rgb


class FrameDecoder:
    """Decodes one observation after the other and keeps the frames of the last one."""

    def __init__(self, shapes: Mapping[str, tuple[int, int]]) -> None:
        """shapes: height and width [pixel] that the policy expects, per camera."""
        self._shapes = shapes
        self._frames: dict[str, dict[int, np.ndarray]] = {name: {} for name in shapes}  # by stamp [ns]

    def __call__(self, observation: Observation) -> dict[str, np.ndarray]:
        """The frames of each camera, uint8 (n_obs, H, W, 3) RGB, oldest first.

        Raises:
            StreamError: a message has another aspect ratio, an unknown encoding or too little data.
        """
        images = {}
        for name, (height, width) in self._shapes.items():
            stamps, known = observation.image_stamps_ns[name], self._frames[name]
            frames: dict[int, np.ndarray] = {}
            for stamp_ns, message in zip(stamps, observation.images[name], strict=True):
                if stamp_ns not in frames:
                    frame = known.get(stamp_ns)
                    frames[stamp_ns] = image_to_rgb(message, height, width) if frame is None else frame
            self._frames[name] = frames
            images[name] = np.stack([frames[stamp_ns] for stamp_ns in stamps])
        return images
