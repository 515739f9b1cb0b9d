# SPDX-License-Identifier: Apache-2.0
"""The panel of nodes in a namespace, with a remapped topic."""

import http.client
import re

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rclpy.node import Node
from ros_testing import spinning
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos

pytestmark = pytest.mark.slow


def page_of(address: str) -> str:
    """The page as the server builds it, without a browser."""
    port, token = re.findall(r":(\d+)/(.*)", address)[0]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20.0)
    connection.request("GET", f"/{token}")
    answer = connection.getresponse()
    answer.read()
    cookie = answer.getheader("set-cookie", "").split(";")[0]
    connection.request("GET", "/", headers={"Cookie": cookie})
    return connection.getresponse().read().decode()


@pytest.mark.parametrize(
    ("options", "topic"),
    [
        (("--namespace", "/cell_1"), "/cell_1/policy/status"),
        (("--ros-args", "-r", "/policy/status:=/elsewhere/status"), "/elsewhere/status"),
    ],
)
def test_a_namespace_and_a_remapping_are_followed(start_panel, ros_domain, options, topic) -> None:
    node = Node("stands_for_the_policy")
    publisher = node.create_publisher(PolicyStatus, topic, qos.STATUS)
    node.create_timer(0.05, lambda: publisher.publish(PolicyStatus(state=PolicyStatus.RUNNING)))
    with spinning(node):
        address = start_panel(*options)
        wait_for(lambda: "RUNNING" in page_of(address), 40.0, "the word of that node", interval=0.3)
