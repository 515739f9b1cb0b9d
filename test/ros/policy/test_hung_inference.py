# SPDX-License-Identifier: Apache-2.0
"""An inference that does not end at deactivation: nobody waits for ever, and no second one runs beside it."""

import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import running
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for

from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.inference import inference_node
from dit_policy_ros.ros.policy import _reporter

pytestmark = pytest.mark.slow  # others cover the way; these are whole systems again


class HangingPolicy:
    """Lets the policy of a node hang in `predict` until `go`."""

    def __init__(self, policy) -> None:
        self.go, self.hangs, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.running = self.most = 0
        predict = policy.predict

        def hanging(*arguments, **options):
            self.running += 1
            self.most = max(self.most, self.running)
            self.hangs.set()
            self.go.wait(60.0)
            try:
                return predict(*arguments, **options)
            finally:
                self.running -= 1
                self.ended.set()

        policy.predict = hanging


@pytest.mark.parametrize("through_cleanup", [False, True])
def test_no_second_inference_runs_beside_a_hung_one(
    ros_domain, checkpoint, monkeypatch, capfd, through_cleanup
) -> None:
    monkeypatch.setattr(inference_node, "JOIN_TIMEOUT", 0.1)
    published = []
    monkeypatch.setattr(_reporter.PolicyReporter, "on_chunk", lambda *_: published.append(_))
    with running(checkpoint) as watch:
        node = watch.node
        policy = HangingPolicy(node.inference.configured.policy)
        assert policy.hangs.wait(10.0)
        published.clear()  # those from before it hung
        assert node.trigger_deactivate().name == "SUCCESS"
        if through_cleanup:
            assert node.trigger_cleanup().name == "SUCCESS"
        again = node.trigger_configure if through_cleanup else node.trigger_activate
        assert again().name == "FAILURE"
        assert "the last inference before deactivation has still not ended" in capfd.readouterr().err
        plans, policy.most = len(watch.robot.received), 0
        policy.go.set()
        assert policy.ended.wait(10.0)
        wait_for(lambda: "inference" not in {each.name for each in threading.enumerate()}, 10.0, "it ends")
        assert not published and len(watch.robot.received) == plans, "its result is dropped"
        if through_cleanup:
            assert node.trigger_configure().name == "SUCCESS"
        wait_for(lambda: node.trigger_activate().name == "SUCCESS", 10.0, "activation")
        wait_for(lambda: published, 10.0, "a chunk")
        assert policy.most <= 1


def test_a_chunk_becomes_a_message_only_for_a_subscriber(ros_domain, checkpoint, monkeypatch) -> None:
    made, received, make = [], [], _reporter.chunk_message

    def counted(*arguments):
        made.append(arguments)
        return make(*arguments)

    monkeypatch.setattr(_reporter, "chunk_message", counted)
    with running(checkpoint) as watch:  # with some plans already
        assert not made
        subscription = watch.robot.create_subscription(
            JointTrajectory, "/policy/chunk", received.append, qos.STATUS
        )
        wait_for(lambda: received, 10.0, "a chunk")
        assert made
        watch.robot.destroy_subscription(subscription)
