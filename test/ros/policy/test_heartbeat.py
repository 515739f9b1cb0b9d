# SPDX-License-Identifier: Apache-2.0
"""Somebody who watches by ~/heartbeat and becomes silent is a HOLD of the real node."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from diagnostic_msgs.msg import KeyValue
from policy_watch import running
from ros_testing import resume
from waiting import wait_for

from dit_policy_ros.core.sensing import LEFT

pytestmark = pytest.mark.slow


def test_silence_holds_and_a_word_of_farewell_does_not(ros_domain, checkpoint) -> None:
    with running(checkpoint, heartbeat_timeout=1.0) as watch:
        publisher = watch.robot.create_publisher(KeyValue, "/policy/heartbeat", 10)
        wait_for(publisher.get_subscription_count, 10.0, "the policy node listens")
        publisher.publish(KeyValue(key="the panel on desk"))
        watch.wait_hold("the panel on desk")
        assert not watch.status.hold_recoverable
        resume(watch.robot, 20.0)
        publisher.publish(KeyValue(key="the panel on desk"))
        publisher.publish(KeyValue(key="the panel on desk", value=LEFT))
        plans = watch.status.plans
        wait_for(lambda: watch.status.plans > plans + 20, 30.0, "it moves on for longer than a second")
        assert "the panel" not in watch.status.hold_reason
