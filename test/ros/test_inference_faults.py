# SPDX-License-Identifier: Apache-2.0
"""The inference process is killed, stopped, replaced or fails at every moment; all commands are watched.

Whatever happens to it, the arms hold, the reason names it, and nothing but the policy node has to be asked to
go on.
"""

import os
import shutil
import signal
import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from lifecycle_msgs.msg import Transition
from small_robot import tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.msg import ActionChunk, InferenceRequest, InferenceStatus, PolicyStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.sim.robot import HOME, JOINTS

pytestmark = pytest.mark.slow
KILLED = "inference lost: the inference process was killed by SIGKILL"


def is_gone(process):
    return not os.path.exists(f"/proc/{process}")


def requested(world):
    """Waits for a request for a chunk."""
    seen, node = [], world.relay
    subscription = node.create_subscription(
        InferenceRequest, "/inference/request", seen.append, qos.INFERENCE
    )
    wait_for(lambda: any(each.wanted for each in seen), 20.0, "a request")
    node.destroy_subscription(subscription)


def answered(world):
    """Waits for a chunk."""
    seen, node = [], world.relay
    subscription = node.create_subscription(ActionChunk, "/inference/chunk", seen.append, qos.INFERENCE)
    wait_for(lambda: seen, 20.0, "a chunk")
    node.destroy_subscription(subscription)


def configuring(world):
    """Waits until the inference node is being configured."""
    seen, node = [], world.relay
    subscription = node.create_subscription(
        InferenceStatus, "/inference/status", seen.append, qos.SIGNS_OF_LIFE
    )
    wait_for(lambda: seen and seen[-1].in_transition, 60.0, "configure has begun")
    node.destroy_subscription(subscription)


def inferring(world):
    world.fault("hang")
    requested(world)


MOMENTS = {"after a request": requested, "during an inference": inferring, "after a chunk": answered}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_process_is_started_again_while_the_arms_hold(world, moment):
    MOMENTS[moment](world)
    before = world.kill_inference()
    world.held(KILLED)
    world.fault("")
    assert world.relay.status.hold_recoverable
    world.resumes_by_itself()
    assert world.inference_process() not in (None, before)
    wait_for(lambda: world.relay.status.inference_restarts >= 1, 5.0, "the status counts it")
    world.running()


def test_a_process_that_is_stopped_for_a_moment_goes_on(world):
    process = world.kill_inference(signal.SIGSTOP)
    world.held("no sign of life from /inference")
    assert world.relay.status.hold_recoverable
    os.kill(process, signal.SIGCONT)
    world.resumes_by_itself()
    assert world.inference_process() == process


def test_a_process_that_stays_stopped_is_replaced(world):
    process = world.kill_inference(signal.SIGSTOP)
    world.held("no sign of life from /inference")
    world.resumes_by_itself()
    assert is_gone(process) and world.inference_process() != process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_process_that_is_lost_while_it_is_configured_fails_the_transition(world, number):
    assert world.transition(Transition.TRANSITION_DEACTIVATE)
    assert world.transition(Transition.TRANSITION_CLEANUP)
    world.fault("hang loading")
    results = []
    waiting = threading.Thread(
        target=lambda: results.append(world.transition(Transition.TRANSITION_CONFIGURE))
    )
    waiting.start()
    configuring(world)
    process = world.kill_inference(number)
    waiting.join(90.0)
    assert results == [False]
    log = world.policy.output()
    assert ("was killed by SIGKILL" if number == signal.SIGKILL else "has given no sign of life for") in log
    if number == signal.SIGSTOP:
        os.kill(process, signal.SIGCONT)
    world.fault("")
    assert world.transition(Transition.TRANSITION_CONFIGURE)
    wait_for(lambda: world.transition(Transition.TRANSITION_ACTIVATE), 30.0, "activation")
    world.running()


def test_an_error_while_it_is_configured_is_the_policy_nodes_error(world):
    assert world.transition(Transition.TRANSITION_DEACTIVATE)
    assert world.transition(Transition.TRANSITION_CLEANUP)
    world.fault("raise loading")
    assert not world.transition(Transition.TRANSITION_CONFIGURE)
    assert "cannot configure: unexpected error, see the log: RuntimeError: the accelerator is not there" in (
        world.policy.output()
    )
    world.fault("")
    assert world.transition(Transition.TRANSITION_CONFIGURE)
    wait_for(lambda: world.transition(Transition.TRANSITION_ACTIVATE), 30.0, "activation")
    world.running()


def test_an_error_while_it_is_restarted_is_named_and_tried_again(world):
    world.fault("raise loading")
    world.kill_inference()
    world.held("RuntimeError: the accelerator is not there; it is tried again", within=90.0)
    world.fault("")
    world.resumes_by_itself()


def test_another_checkpoint_that_was_swapped_in_is_not_used(world):
    shutil.rmtree(world.checkpoint)
    tiny_checkpoint(world.checkpoint, joints=JOINTS, around=HOME, seed=1)
    plans = world.relay.status.plans
    wait_for(lambda: world.relay.status.plans > plans + 3, 10.0, "the loaded one goes on")
    world.kill_inference()
    world.held("another policy is loaded now", within=90.0)
    plans = world.relay.status.plans
    for number in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
    ):
        assert world.transition(number)
    wait_for(lambda: world.transition(Transition.TRANSITION_ACTIVATE), 30.0, "activation")
    world.running()


def test_a_second_inference_node_changes_nothing_and_no_policy_is_configured_beside_it(world):
    world.start_inference()
    second = wait_for(
        lambda: rclpy.node.Node.get_publishers_info_by_topic(world.relay, "/inference/status")[1:],
        60.0,
        "a second inference node",
    )
    assert len(second) == 1
    plans = world.relay.status.plans
    wait_for(lambda: world.relay.status.plans > plans + 20, 20.0, "plans go on")
    assert world.transition(Transition.TRANSITION_DEACTIVATE)
    assert world.transition(Transition.TRANSITION_CLEANUP)
    assert not world.transition(Transition.TRANSITION_CONFIGURE)
    assert "two inference nodes are called /inference" in world.policy.output()
    world.stop_inference()
    wait_for(lambda: world.transition(Transition.TRANSITION_CONFIGURE), 60.0, "configure")
    wait_for(lambda: world.transition(Transition.TRANSITION_ACTIVATE), 30.0, "activation")
    world.running()


def test_a_storm_of_requests_from_a_stranger_does_no_harm(world):
    flood = world.relay.create_publisher(InferenceRequest, "/inference/request", qos.INFERENCE)
    wait_for(lambda: flood.get_subscription_count(), 10.0, "the inference node listens")
    plans = world.relay.status.plans
    for number in range(5000):
        flood.publish(InferenceRequest(id=number, session=number % 7, wanted=True, task="anything"))
    wait_for(lambda: world.relay.status.plans > plans + 10, 30.0, "plans go on")
    world.running()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_inference_process_outlives_the_policy_node(world, number):
    process = world.inference_process()
    world.policy.process.send_signal(number)
    wait_for(lambda: not world.policy.alive, 30.0, "the policy node ends")
    wait_for(lambda: is_gone(process), 10.0, "its inference process ends, too")
    assert world.policy.process.returncode == (-9 if number == signal.SIGKILL else 0)
    assert world.relay.status.state in (PolicyStatus.RUNNING, PolicyStatus.INACTIVE, PolicyStatus.HOLD)
