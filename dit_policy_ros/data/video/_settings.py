# SPDX-License-Identifier: Apache-2.0
"""How images are encoded: a codec that works on this machine, and FFmpeg's options for it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing

AUTO, _SOFTWARE = "auto", "h264"
# A frame is written when it comes, whatever comes later: no B-frames, no look-ahead.
_NO_DELAY = {
    "h264": {"tune": "zerolatency", "x264-params": "log=0"},  # it prints pages on stderr otherwise
    "hevc": {"tune": "zerolatency", "x265-params": "log-level=none:bframes=0"},
    "libsvtav1": {"svtav1-params": "pred-struct=1:lookahead=0"},
    "libaom-av1": {"usage": "realtime", "lag-in-frames": "0"},
}


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How images are encoded.

    codec: as LeRobot names them; "auto" takes a hardware encoder if one works, else h264. quality: constant
    rate factor, lower is better. gop: frames from one key frame to the next; 2 makes random reading fast.
    preset: of h264 and hevc, speed against size. threads: of one camera's encoder. keep_jpeg: whether the
    JPEG images of cameras that send such are kept as they are, instead of being encoded again.
    """

    codec: str = _SOFTWARE
    quality: int = 20
    gop: int = 2
    preset: str = "veryfast"
    threads: int = 1
    keep_jpeg: bool = False

    def keeps_jpeg(self, camera: Camera) -> bool:
        """Whether a camera's images are kept as they come."""
        return self.keep_jpeg and camera.compressed

    def usable(self) -> "VideoSettings":
        """The same with a codec that was tried; DatasetError if there is none."""
        from lerobot.configs.video import HW_VIDEO_CODECS, VALID_VIDEO_CODECS

        if self.codec not in VALID_VIDEO_CODECS:
            valid = listing(sorted(VALID_VIDEO_CODECS))
            raise DatasetError(f"video.codec: expected one of: {valid}, got '{self.codec}'")
        candidates = [*HW_VIDEO_CODECS, _SOFTWARE] if self.codec == AUTO else [self.codec]
        reasons = []
        for codec in candidates:
            settings = replace(self, codec=codec)
            reason = settings._problem()
            if reason is None:
                return settings
            reasons.append(f"{codec}: {reason}")
        raise DatasetError(f"video.codec '{self.codec}' does not work here: {'; '.join(reasons)}")

    def config(self) -> Any:
        """LeRobot's description, an RGBEncoderConfig; ValueError for what the codec does not know."""
        from lerobot.configs.video import RGBEncoderConfig

        preset = self.preset if self.codec in ("h264", "hevc") else None
        more = _NO_DELAY.get(self.codec, {"bf": "0"})
        return RGBEncoderConfig(
            vcodec=self.codec, g=self.gop, crf=self.quality, preset=preset, extra_options=more
        )

    def options(self) -> dict[str, str]:
        """FFmpeg's options of the codec."""
        options = self.config().get_codec_options(self.threads, as_strings=True)
        if self.codec == "libsvtav1":  # LeRobot lets its own parameters win over all of ours
            options["svtav1-params"] += ":" + _NO_DELAY[self.codec]["svtav1-params"]
        return options

    def _problem(self) -> str | None:
        """Why the codec cannot encode an image here; None if it can. Being compiled in is not enough."""
        import av

        try:
            context: Any = av.CodecContext.create(self.codec, "w")
            context.options = self.options()
            context.width = context.height = 256
            context.pix_fmt, context.framerate = "yuv420p", 30
            frame = av.VideoFrame.from_ndarray(np.zeros((256, 256, 3), np.uint8), format="rgb24")
            context.encode(frame.reformat(format="yuv420p"))
        except (OSError, ValueError, RuntimeError) as error:
            return str(error)
        return None
