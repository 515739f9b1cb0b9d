# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from sensor_msgs.msg import Image

from dit_policy_ros.core.sensing import Observation
from dit_policy_ros.ros.inference import _frame_decoder as frame_decoder
from dit_policy_ros.ros.inference._frame_decoder import FrameDecoder

SHAPE = (24, 32)


def image(value):
    return Image(
        height=24, width=32, encoding="rgb8", step=96, data=np.full((24, 32, 3), value, np.uint8).tobytes()
    )


def observation(*stamps):
    messages = tuple(image(stamp) for stamp in stamps)
    return Observation(max(stamps), {"top": messages}, {"top": stamps}, np.zeros((len(stamps), 1)))


def test_each_frame_is_decoded_once_while_observations_use_it(monkeypatch):
    decoded = []

    def count(message, height, width):
        decoded.append(message.data[0])
        return convert(message, height, width)

    convert = frame_decoder.image_to_rgb
    monkeypatch.setattr(frame_decoder, "image_to_rgb", count)
    decode = FrameDecoder({"top": SHAPE})
    for stamps in ((1, 1), (1, 2), (2, 3), (5, 6), (1, 6)):
        images = decode(observation(*stamps))["top"]  # (2, H, W, 3)
        assert images[:, 0, 0, 0].tolist() == list(stamps)
    assert decoded == [1, 2, 3, 5, 6, 1], "a frame is forgotten after an observation without it"
