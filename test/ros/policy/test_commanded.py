# SPDX-License-Identifier: Apache-2.0
"""~/commanded: what the controllers are told at this moment, for plots."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import running
from sensor_msgs.msg import JointState
from small_robot import JOINTS, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.ros.common import qos, stamp_ns


def test_it_is_the_plan_in_force_and_costs_nothing_unheard(ros_domain, tmp_path):
    with running(tiny_checkpoint(tmp_path / "tiny")) as watch:
        heard: list[JointState] = []
        subscription = watch.robot.create_subscription(
            JointState, "/policy/commanded", heard.append, qos.STATUS
        )
        wait_for(lambda: len(heard) >= 20, 10.0, "the commands of the moment")
        sent = {int(plan.times_ns[0]): plan for plan in watch.plans()}
        compared = 0
        for message in heard:
            assert message.name == list(JOINTS)
            now_ns = stamp_ns(message.header.stamp)
            # Whatever plan was in force: until two intervals from its beginning all of them agree.
            near = [plan for start, plan in sent.items() if 0 <= now_ns - start < 60_000_000]
            for plan in near:
                np.testing.assert_allclose(message.position, plan.sample_at(now_ns)[0], atol=1e-6)
                compared += 1
        assert compared >= 5
        watch.robot.destroy_subscription(subscription)
        wait_for(lambda: watch.node.count_subscribers("/policy/commanded") == 0, 5.0, "nobody listens")
        count = len(heard)
        plans = watch.status.plans
        wait_for(lambda: watch.status.plans > plans + 2, 10.0, "plans go on")
        assert len(heard) == count
