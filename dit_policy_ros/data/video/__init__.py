# SPDX-License-Identifier: Apache-2.0
"""One camera's images as a video, written and read.

Encoder settings, tracks, and image statistics.
"""

from dit_policy_ros.data.video._camera_video import SYNC_INTERVAL, CameraEncoder, count_frames, decode, remux
from dit_policy_ros.data.video._frames import Part, VideoImages, reduce_images
from dit_policy_ros.data.video._image_summary import ImageSummary
from dit_policy_ros.data.video._settings import VideoSettings
from dit_policy_ros.data.video._track import CameraImage

__all__ = [
    "SYNC_INTERVAL",
    "CameraEncoder",
    "CameraImage",
    "ImageSummary",
    "Part",
    "VideoImages",
    "VideoSettings",
    "count_frames",
    "decode",
    "reduce_images",
    "remux",
]
