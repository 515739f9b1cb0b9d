# SPDX-License-Identifier: Apache-2.0
"""Video encoder settings: a codec that works on this machine, and FFmpeg's options for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.video._scheduling import ordinary_scheduling

AUTO, _SOFTWARE = "auto", "h264"
# Encoders must output each frame at once: no B-frames, no look-ahead.
_NO_DELAY = {
    "h264": {"tune": "zerolatency", "x264-params": "log=0"},  # without log=0 it prints a lot to stderr
    "hevc": {"tune": "zerolatency", "x265-params": "log-level=none:bframes=0"},
    "libsvtav1": {"svtav1-params": "pred-struct=1:lookahead=0"},
    "libaom-av1": {"usage": "realtime", "lag-in-frames": "0"},
}


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How a camera's images are encoded.

    codec: LeRobot's name of the codec; "auto" selects a hardware encoder if one works, else h264. quality:
    constant rate factor, lower is better. gop: frames from one key frame to the next; 2 makes random access
    fast. preset: for h264 and hevc, speed against size. threads: of one camera's encoder. keep_jpeg: if a
    camera sends JPEG, store its images byte for byte instead of encoding them again.
    """

    codec: str = _SOFTWARE
    quality: int = 20
    gop: int = 2
    preset: str = "veryfast"
    threads: int = 1
    keep_jpeg: bool = False

    def keeps_jpeg(self, camera: Camera) -> bool:
        """Whether the JPEG images of this camera are stored byte for byte."""
        return self.keep_jpeg and camera.compressed and not camera.is_depth

    def with_working_codec(self, cameras: Sequence[Camera] = ()) -> "VideoSettings":
        """These settings with a codec that has encoded an image of each camera's size.

        Raises DatasetError if none works.
        """
        from lerobot.configs.video import HW_VIDEO_CODECS, VALID_VIDEO_CODECS

        if self.codec not in VALID_VIDEO_CODECS:
            valid = listing(sorted(VALID_VIDEO_CODECS))
            raise DatasetError(f"video.codec: expected one of: {valid}, got '{self.codec}'")
        candidates = [*HW_VIDEO_CODECS, _SOFTWARE] if self.codec == AUTO else [self.codec]
        reasons = []
        for codec in candidates:
            settings = replace(self, codec=codec)
            reason = settings._encoding_error(cameras)
            if reason is None:
                return settings
            reasons.append(f"{codec}: {reason}")
        raise DatasetError(f"video.codec '{self.codec}' does not work here: {'; '.join(reasons)}")

    def lerobot_config(self) -> Any:
        """As LeRobot's RGBEncoderConfig. Raises ValueError if the codec does not support a setting."""
        from lerobot.configs.video import RGBEncoderConfig

        preset = self.preset if self.codec in ("h264", "hevc") else None
        extra_options = _NO_DELAY.get(self.codec, {"bf": "0"})
        return RGBEncoderConfig(
            vcodec=self.codec, g=self.gop, crf=self.quality, preset=preset, extra_options=extra_options
        )

    def ffmpeg_options(self) -> dict[str, str]:
        """FFmpeg's options for the codec."""
        options = self.lerobot_config().get_codec_options(self.threads, as_strings=True)
        if self.codec == "libsvtav1":  # LeRobot's parameters replace ours, so append them
            options["svtav1-params"] += ":" + _NO_DELAY[self.codec]["svtav1-params"]
        return options

    def _encoding_error(self, cameras: Sequence[Camera]) -> str | None:
        """Encodes test images; why that failed, or None. A codec can be compiled in and still not work."""
        if (reason := self._error_at(256, 256)) is not None:
            return reason
        for camera in cameras:
            if camera.is_depth:
                continue  # its images are stored one by one, without a codec
            width, height = camera.width, camera.height
            if not self.keeps_jpeg(camera) and (reason := self._error_at(width, height)) is not None:
                remedy = ""
                if width % 2 or height % 2:
                    remedy = (
                        f". Videos need an even width and height: set cameras.{camera.name}.width and "
                        ".height in the contract to even numbers; images are resized to them"
                    )
                return f"camera {camera.name} ({width}x{height}): {reason}{remedy}"
        return None

    def _error_at(self, width: int, height: int) -> str | None:
        """Encodes an image of this size; why that failed, or None."""
        import av
        import av.error

        try:
            context: Any = av.CodecContext.create(self.codec, "w")
            context.options = self.ffmpeg_options()
            context.width, context.height = width, height
            context.pix_fmt, context.framerate = "yuv420p", 30
            frame = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
            with ordinary_scheduling():
                context.encode(frame.reformat(format="yuv420p"))
        except (OSError, ValueError, RuntimeError, av.error.FFmpegError) as error:
            return str(error)
        return None
