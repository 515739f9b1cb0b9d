# SPDX-License-Identifier: Apache-2.0
"""A depth camera is shown as a grey picture, the nearer the brighter."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from sensor_msgs.msg import Image

from dit_policy_ros.evaluation.panel._cameras import _to_jpeg


@pytest.mark.parametrize(("encoding", "kind", "metre"), [("16UC1", "<u2", 1000), ("32FC1", "<f4", 1)])
def test_a_depth_image_is_shown(encoding: str, kind: str, metre: int) -> None:
    distances = np.zeros((16, 32), kind)  # no distance on the left
    distances[:, 8:16], distances[:, 16:24], distances[:, 24:] = 5 * metre, 2 * metre, 0.5 * metre
    message = Image(height=16, width=32, encoding=encoding, data=distances.tobytes())
    shown = cv2.imdecode(np.frombuffer(_to_jpeg(message), np.uint8), cv2.IMREAD_GRAYSCALE)  # (h, w)
    levels = [int(shown[:, column].mean()) for column in (4, 12, 20, 28)]
    assert levels == sorted(levels) and levels[0] < 10 and np.diff(levels).min() > 20
