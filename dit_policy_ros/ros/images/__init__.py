# SPDX-License-Identifier: Apache-2.0
"""Converts image messages of every usual encoding to RGB, reads depth images, and says what is wrong."""

from dit_policy_ros.ros.images._camera_images import check_camera_image, read_camera_image
from dit_policy_ros.ros.images._encodings import ENCODINGS
from dit_policy_ros.ros.images._to_rgb import check_image, image_to_rgb

__all__ = ["ENCODINGS", "check_camera_image", "check_image", "image_to_rgb", "read_camera_image"]
