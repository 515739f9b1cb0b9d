# SPDX-License-Identifier: Apache-2.0
"""Three cameras whose images are stamped when they are published: nothing is rendered meanwhile.

What passes from such a stamp to the trajectory is the nodes' own time. The simulator's stamps are older than
its images by the time that rendering takes, which depends on the graphics driver.
"""

import sys
import time
from array import array

import numpy as np
import rclpy
from sensor_msgs.msg import Image

from dit_policy_ros.core.parent_process import PARENT
from dit_policy_ros.ros.common import qos

CAMERAS = ("top", "left_wrist", "right_wrist")
WIDTH, HEIGHT, RATE = 640, 480, 30.0  # pixel, pixel, Hz


def topic(camera: str) -> str:
    """Where a camera publishes."""
    return f"/prompt/{camera}/image_raw"


def main() -> int:
    """Publish until the process that started this one ends."""
    rclpy.init()
    node = rclpy.create_node("prompt_cameras")
    publishers = [node.create_publisher(Image, topic(camera), qos.IMAGES) for camera in CAMERAS]
    random = np.random.default_rng(0)
    message = Image(width=WIDTH, height=HEIGHT, step=3 * WIDTH, encoding="rgb8")
    noise = [array("B", random.bytes(3 * WIDTH * HEIGHT)) for _ in range(2)]  # neither frozen nor black
    due, number = time.monotonic(), 0
    while rclpy.ok() and not PARENT.has_ended():
        message.data = noise[number % 2]
        for publisher in publishers:
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)
        number, due = number + 1, due + 1.0 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
