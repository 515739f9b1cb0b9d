# SPDX-License-Identifier: Apache-2.0
"""Videos of one camera: encoder settings, encoding while recording, image statistics, and decoding."""

from dit_policy_ros.data.video._camera_encoder import SYNC_INTERVAL, CameraEncoder
from dit_policy_ros.data.video._camera_images import CameraImages, ImageBatch, resize_images
from dit_policy_ros.data.video._depth_images import (
    count_tiffs,
    decode_tiff,
    depth_picture,
    read_tiffs,
    to_tiff,
)
from dit_policy_ros.data.video._depth_summary import DepthSummary, Summary, new_summary, read_summary
from dit_policy_ros.data.video._image_summary import ImageSummary
from dit_policy_ros.data.video._random_images import RandomImages
from dit_policy_ros.data.video._recorded_video import count_frames, decode_frames, remux_to_mp4
from dit_policy_ros.data.video._rows import Allocate, read_columns
from dit_policy_ros.data.video._settings import VideoSettings
from dit_policy_ros.data.video._track import CameraImage, DecodedJpeg, JpegDecoder

__all__ = [
    "SYNC_INTERVAL",
    "Allocate",
    "CameraEncoder",
    "CameraImage",
    "CameraImages",
    "DecodedJpeg",
    "DepthSummary",
    "ImageBatch",
    "ImageSummary",
    "JpegDecoder",
    "RandomImages",
    "Summary",
    "VideoSettings",
    "count_frames",
    "count_tiffs",
    "decode_frames",
    "decode_tiff",
    "depth_picture",
    "new_summary",
    "read_columns",
    "read_summary",
    "read_tiffs",
    "remux_to_mp4",
    "resize_images",
    "to_tiff",
]
