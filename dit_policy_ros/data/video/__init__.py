# SPDX-License-Identifier: Apache-2.0
"""Videos of one camera: encoder settings, encoding while recording, image statistics, and decoding."""

from dit_policy_ros.data.video._camera_encoder import SYNC_INTERVAL, CameraEncoder
from dit_policy_ros.data.video._dataset_video import ImageBatch, VideoImages, resize_images
from dit_policy_ros.data.video._image_summary import ImageSummary
from dit_policy_ros.data.video._recorded_video import count_frames, decode_frames, remux_to_mp4
from dit_policy_ros.data.video._settings import VideoSettings
from dit_policy_ros.data.video._track import CameraImage

__all__ = [
    "SYNC_INTERVAL",
    "CameraEncoder",
    "CameraImage",
    "ImageBatch",
    "ImageSummary",
    "VideoImages",
    "VideoSettings",
    "count_frames",
    "decode_frames",
    "remux_to_mp4",
    "resize_images",
]
