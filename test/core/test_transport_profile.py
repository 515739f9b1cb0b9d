# SPDX-License-Identifier: Apache-2.0
import os
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from waiting import wait_for

from dit_policy_ros.core.transport_profile import OLD_PROFILE, PROFILE, USERS_CHOICE, profile_environment

FRAMES = 60
# A 640x480 rgb8 image is larger than a default shared memory segment.
CAMERA = f"""
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "image_raw", QoSProfile(depth=5))
frame = Image(height=480, width=640, encoding="rgb8", step=1920, data=bytes(480 * 1920))
sent = [0]
def publish():
    if sent[0] < {FRAMES} and publisher.get_subscription_count():
        sent[0] += 1
        publisher.publish(frame)
def answer(request, response):
    response.success = sent[0] == {FRAMES}
    return response
node.create_service(Trigger, "done", answer)
node.create_timer(1 / 30, publish)
rclpy.spin(node)
"""


def test_the_profile_is_selected_unless_the_user_selected_one():
    chosen = profile_environment({})
    assert set(chosen) == {PROFILE}
    assert Path(chosen[PROFILE]).is_file()
    assert set(profile_environment({"ROS_DISTRO": "jazzy"})) == {OLD_PROFILE}
    for name in USERS_CHOICE:
        assert profile_environment({name: "mine"}) == {}
    assert profile_environment({PROFILE: ""}) == chosen


def test_the_profile_keeps_udp_and_fits_into_a_containers_shared_memory():
    name = "{http://www.eprosima.com}"
    root = ElementTree.parse(profile_environment({})[PROFILE]).getroot()
    types = [element.text for element in root.iter(f"{name}type")]
    assert types == ["SHM", "UDPv4"]
    (segment,) = root.iter(f"{name}segment_size")
    assert 32e6 < int(segment.text or 0) < 60e6  # of 64 MB


@pytest.mark.slow
def test_images_from_a_sender_with_the_profile_reach_a_process_without_it(ros_domain, start_process):
    """This process and its service client use the default transports, and still receive everything."""
    camera = start_process("camera", sys.executable, "-c", CAMERA, **profile_environment(os.environ))
    node = rclpy.create_node("plain")
    received = []
    node.create_subscription(
        Image, "image_raw", lambda frame: received.append(len(frame.data)), QoSProfile(depth=5)
    )
    client = node.create_client(Trigger, "done")

    def done() -> bool:
        future = client.call_async(Trigger.Request())
        rclpy.spin_until_future_complete(node, future, timeout_sec=0.2)
        answer = future.result()
        return answer is not None and answer.success

    wait_for(done, 30, "the camera reports that all frames are sent")
    assert camera.alive
    assert len(received) > FRAMES / 2  # the exact number depends on the load; the benchmarks measure it
    node.destroy_node()
