# SPDX-License-Identifier: Apache-2.0
"""What the simulator publishes of a depth camera is what recorder and policy read."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("mujoco", reason="mujoco is not installed")

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.ros.images import check_camera_image, read_camera_image
from dit_policy_ros.ros.sim._messages import depth_message

DISTANCES = np.linspace(0.2, 8.0, 24 * 32, dtype=np.float32).reshape(24, 32)  # [m]
DISTANCES[0, 0] = 80.0  # beyond what 16 bits of millimetres can say


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("unit", ["mm", "m"])
def test_the_distances_come_back(unit: str, compressed: bool) -> None:
    camera = Camera("depth", "depth", 24, 32, 0.5, compressed=compressed, depth_unit=unit)
    message = depth_message(5_000_000_000, "depth", DISTANCES, unit, compressed)
    assert (message.header.stamp.sec, message.header.frame_id) == (5, "depth_optical_frame")
    check_camera_image(message, camera)
    read = read_camera_image(message, camera)[..., 0]  # (h, w)
    if unit == "m":
        np.testing.assert_array_equal(read, DISTANCES)
    else:
        assert read[0, 0] == 0, "out of range, as REP 118 says it"
        np.testing.assert_array_equal(read[1:], np.rint(1000.0 * DISTANCES[1:]))
