# SPDX-License-Identifier: Apache-2.0
"""The streams of a policy that reads no camera."""

from dataclasses import dataclass, field

import pytest
from contracts import SMALL_CONTRACT

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.inference_link._remote_streams import RemoteStreams


@dataclass
class Blind:
    """What a policy without cameras says about its inputs."""

    image_shapes: dict = field(default_factory=dict)
    vectors: tuple = ()


def test_without_cameras_the_status_is_still_a_message():
    """A whole number in the field of a message ends the process."""
    streams = RemoteStreams(SMALL_CONTRACT, Blind(), 0.3, "/inference")
    assert isinstance(streams.bytes_per_second, float)
    PolicyStatus(camera_bytes_per_second=streams.bytes_per_second)
