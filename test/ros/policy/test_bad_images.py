# SPDX-License-Identifier: Apache-2.0
"""Single images that cannot be decoded stop no running policy; when they last, it holds and says why."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import Watch, state
from small_robot import SmallRobot, parameters, policy_node, spinning_together
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus


def test_cut_images_among_good_ones_cost_no_hold_and_only_cut_ones_are_one(ros_domain, checkpoint):
    robot, sent, reasons = SmallRobot(compressed=True), [], set()

    def sometimes(data):
        sent.append(len(sent) % 10 == 9)
        return data[: len(data) // 2] if sent[-1] else data

    robot.jpeg = sometimes
    camera = {"cameras__top__topic": "top/image_raw/compressed", "cameras__top__compressed": True}
    node = policy_node(parameters(checkpoint=str(checkpoint), **camera))
    watch = Watch(robot, node)
    with spinning_together(robot, node):
        node.trigger_configure()
        wait_for(lambda: node.trigger_activate() and state(node) == "active", 20.0, "activation")

        def goes_on():
            reasons.add(watch.status.hold_reason)
            return watch.status.plans >= 20 and sum(sent) >= 5

        wait_for(goes_on, 30.0, "plans go on beside cut images")
        assert not any("decoded" in reason or "refused" in reason for reason in reasons), reasons
        robot.jpeg = lambda data: data[: len(data) // 2]
        watch.wait_hold("cannot be used: compressed image")
        assert watch.status.hold_recoverable
        robot.jpeg = lambda data: data
        watch.wait_state(PolicyStatus.RUNNING, 20.0)
