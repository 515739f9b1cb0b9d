# SPDX-License-Identifier: Apache-2.0
"""Images of the contract's cameras, colour and depth."""

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.ros.images._to_depth import check_depth, image_to_depth
from dit_policy_ros.ros.images._to_rgb import check_image, image_to_rgb


def read_camera_image(msg: Image | CompressedImage, camera: Camera) -> np.ndarray:
    """The image of a camera: uint8 (h, w, 3) RGB, or distances (h, w, 1), of the contract's size.

    Raises StreamError if the message cannot be used.
    """
    if camera.is_depth:
        return image_to_depth(msg, camera)
    return image_to_rgb(msg, camera.height, camera.width)


def check_camera_image(msg: Image | CompressedImage, camera: Camera) -> None:
    """Raises StreamError for an image that cannot be used, as far as that is seen without decoding it."""
    if camera.is_depth:
        check_depth(msg, camera)
    else:
        check_image(msg, camera.height, camera.width)
