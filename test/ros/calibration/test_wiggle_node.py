# SPDX-License-Identifier: Apache-2.0
"""The node that stands where an inference node would: it answers requests with a gentle motion."""

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from contracts import SMALL_CONTRACT  # noqa: E402
from ros_testing import call, spinning  # noqa: E402
from waiting import wait_for  # noqa: E402

from dit_policy_ros.core.calibration import WiggleSettings, plan_wiggle  # noqa: E402
from dit_policy_ros.core.policy_interface import check_policy  # noqa: E402
from dit_policy_ros.core.sensing import StreamBuffer, StreamSettings  # noqa: E402
from dit_policy_ros.msg import ActionChunk, InferenceRequest  # noqa: E402
from dit_policy_ros.ros.calibration import WiggleNode  # noqa: E402
from dit_policy_ros.ros.common import qos  # noqa: E402
from dit_policy_ros.ros.inference_protocol import (  # noqa: E402
    Request,
    answer_from,
    description_from,
    request_message,
)
from dit_policy_ros.srv import DescribePolicy  # noqa: E402

POSE = np.array([0.3, 0.02, -0.4])


@pytest.fixture
def wiggler(ros_domain):
    """The node, active, with joint states, and what asks it."""
    node, asking = WiggleNode("calibration_inference", SMALL_CONTRACT), rclpy.create_node("asking")
    node.joints = StreamBuffer(StreamSettings("joint_states", 1.0, 100))
    node.chunks = []
    node.requests = asking.create_publisher(InferenceRequest, "/calibration_inference/request", qos.INFERENCE)
    asking.create_subscription(ActionChunk, "/calibration_inference/chunk", node.chunks.append, qos.INFERENCE)
    node.asking = asking
    with spinning(node, asking):
        wait_for(lambda: node.requests.get_subscription_count(), 10.0, "the node listens")
        node.trigger_configure()
        node.joints.push(node.get_clock().now().nanoseconds, POSE)
        node.trigger_activate()
        yield node


def described(node):
    request = DescribePolicy.Request()
    answer = call(node.asking, DescribePolicy, "/calibration_inference/describe_policy", request, 20.0)
    assert answer.success
    return description_from(answer)


def ask(node, number, session, earliest_ns=0):
    request = Request(number, session, wanted=True, epoch=7, task="calibrate", earliest_ns=earliest_ns)
    node.requests.publish(request_message(request, node.get_clock().now().nanoseconds))


def test_it_describes_a_policy_that_fits_every_contract(wiggler):
    policy = described(wiggler)
    check_policy(policy, SMALL_CONTRACT)
    assert (policy.image_shapes, policy.known_tasks, policy.fps) == ({}, ("calibrate",), 30.0)


def test_it_answers_with_the_pose_and_then_with_the_motion(wiggler):
    session = described(wiggler).session
    ask(wiggler, 1, session)
    wait_for(lambda: wiggler.chunks, 10.0, "a chunk")
    answer = answer_from(wiggler.chunks[-1])
    assert (answer.request, answer.epoch, answer.joints) == (1, 7, SMALL_CONTRACT.joints)
    assert answer.stamp_ns == wiggler.joints.newest_stamp_ns
    np.testing.assert_allclose(answer.actions, np.tile(POSE, (len(answer.actions), 1)), atol=1e-6)

    motion = plan_wiggle(SMALL_CONTRACT, "arm", wiggler.pose, WiggleSettings())
    begin_ns = wiggler.begin(motion, 0.5)
    stamp = wiggler.joints.newest_stamp_ns + 10_000_000
    ask(wiggler, 2, session, earliest_ns=stamp)
    wiggler.joints.push(stamp, POSE)
    wait_for(lambda: wiggler.chunks[-1].request == 2, 10.0, "the next chunk")
    answer = answer_from(wiggler.chunks[-1])
    times = (answer.stamp_ns - begin_ns + answer.period_ns * np.arange(len(answer.actions))) * 1e-9
    np.testing.assert_allclose(answer.actions, motion.at(times), atol=1e-6)


def test_it_waits_for_a_joint_state_that_is_new_enough_and_answers_no_other_session(wiggler):
    session = described(wiggler).session
    later = wiggler.get_clock().now().nanoseconds + 3_600_000_000_000
    ask(wiggler, 1, session, earliest_ns=later)
    ask(wiggler, 2, session + 1)
    ask(wiggler, 3, session)
    wait_for(lambda: wiggler.chunks, 10.0, "a chunk")
    assert {chunk.request for chunk in wiggler.chunks} == {3}
