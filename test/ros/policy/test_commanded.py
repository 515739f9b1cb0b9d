# SPDX-License-Identifier: Apache-2.0
"""The topic ~/commanded: the positions commanded at this moment, for plots."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import running
from sensor_msgs.msg import JointState
from small_robot import JOINTS
from waiting import wait_for

from dit_policy_ros.ros.common import qos, stamp_ns


def test_it_samples_the_present_plan_and_is_published_only_for_subscribers(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        received: list[JointState] = []
        subscription = watch.robot.create_subscription(
            JointState, "/policy/commanded", received.append, qos.STATUS
        )
        wait_for(lambda: len(received) >= 20, 10.0, "twenty messages")
        sent = {int(plan.times_ns[0]): plan for plan in watch.plans()}
        compared = 0
        for message in received:
            assert message.name == list(JOINTS)
            now_ns = stamp_ns(message.header.stamp)
            # Consecutive plans agree during the first two intervals of the newer one.
            near = [plan for start, plan in sent.items() if 0 <= now_ns - start < 60_000_000]
            for plan in near:
                np.testing.assert_allclose(message.position, plan.sample_at(now_ns)[0], atol=1e-6)
                compared += 1
        assert compared >= 5
        watch.robot.destroy_subscription(subscription)
        wait_for(lambda: watch.node.count_subscribers("/policy/commanded") == 0, 5.0, "no subscriber is left")
        count = len(received)
        plans = watch.status.plans
        wait_for(lambda: watch.status.plans > plans + 2, 10.0, "plans go on")
        assert len(received) == count
