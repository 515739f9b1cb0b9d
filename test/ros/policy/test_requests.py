# SPDX-License-Identifier: Apache-2.0
"""Requests and malformed messages to the policy node, in every state and at high rates."""

import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from motion_helpers import assert_executable
from policy_watch import LIMITS, running, state
from ros_testing import call
from sensor_msgs.msg import Image, JointState
from small_robot import HEIGHT, JOINTS, TASKS, WIDTH
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos, to_stamp
from dit_policy_ros.srv import SetTask

pytestmark = pytest.mark.slow  # others cover the way; these are whole systems again


def test_200_task_changes_per_second_are_answered_and_plans_obey_every_limit(ros_domain, checkpoint, capfd):
    with running(checkpoint) as watch:
        client = watch.robot.create_client(SetTask, "/policy/set_task")
        wait_for(client.service_is_ready, 5.0, "the service")
        pause, futures = threading.Event(), []
        for i in range(400):
            # A service queues ten requests; a busy machine would lose more.
            wait_for(lambda: sum(not future.done() for future in futures[-8:]) < 8, 20.0, "answers", 0.001)
            futures.append(client.call_async(SetTask.Request(task=TASKS[i % 2])))
            pause.wait(0.005)  # 200 per second
        wait_for(lambda: all(future.done() for future in futures), 20.0, "every request is answered")
        assert all(future.result().success for future in futures)
        assert watch.status.state in (PolicyStatus.WAITING, PolicyStatus.RUNNING, PolicyStatus.HOLD)
        assert watch.task(TASKS[1]).success
        plans = watch.status.plans
        wait_for(
            lambda: watch.status.state == PolicyStatus.RUNNING and watch.status.plans > plans + 3,
            15.0,
            "motion goes on afterwards",
        )
        assert watch.status.task == TASKS[1]
        sent = list(watch.plans())
    for plan in sent:
        assert_executable(plan, LIMITS)
    assert capfd.readouterr().err.count("task: ") < 20, "the log is not flooded"


def test_repeating_the_task_changes_nothing(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        before = watch.status
        for _ in range(100):
            answer = watch.task(TASKS[0])
            assert answer.success and "already" in answer.message
        wait_for(lambda: watch.status.plans > before.plans + 3, 10.0, "plans go on")
        assert watch.status.expired_chunks == before.expired_chunks


def call_every_service(watch) -> dict[str, bool]:
    """Call every service once, the e-stop last. Each must answer."""
    robot = watch.robot
    return {
        "set_task": watch.task(TASKS[1]).success,
        "resume": call(robot, Trigger, "/policy/resume", Trigger.Request()).success,
        "save_incident": call(robot, Trigger, "/policy/save_incident", Trigger.Request()).success,
        "e_stop": call(robot, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success,
        "clear": call(robot, SetBool, "/policy/e_stop", SetBool.Request(data=False)).success,
    }


def test_every_service_answers_in_every_lifecycle_state(ros_domain, checkpoint, tmp_path):
    always = {"e_stop": True, "clear": True}
    with running(checkpoint, activate=False, incident_directory=str(tmp_path)) as watch:
        inactive = {"set_task": True, "resume": False, "save_incident": True}
        assert call_every_service(watch) == inactive | always
        watch.node.trigger_activate()
        assert state(watch.node) == "active"
        assert call_every_service(watch) == {"set_task": True, "resume": True, "save_incident": True} | always
        watch.wait_hold("e-stop")
        watch.node.trigger_deactivate()
        assert call_every_service(watch) == inactive | always
        watch.node.trigger_cleanup()
        unconfigured = {"set_task": False, "resume": False, "save_incident": False}
        assert call_every_service(watch) == unconfigured | always
        watch.node.trigger_shutdown()
        assert state(watch.node) == "finalized"
        assert call_every_service(watch) == unconfigured | always


def malformed_joints(i: int, now_ns: int) -> JointState:
    """One of several kinds of malformed joint states, each with different numbers."""
    kinds = [
        JointState(name=list(JOINTS), position=[np.nan, 0.0, float(i), 0.0]),
        JointState(name=list(JOINTS[:3]), position=[0.0, 0.0, 0.0]),
        JointState(name=list(JOINTS), position=[float(i)]),
        JointState(name=[*JOINTS, JOINTS[0]], position=[0.0] * 5),
        JointState(),
    ]
    message = kinds[i % len(kinds)]
    message.header.stamp = to_stamp(now_ns)
    return message


def test_1000_malformed_messages_among_good_ones_do_not_stop_motion_or_flood_the_log(
    ros_domain, checkpoint, capfd
):
    with running(checkpoint) as watch:
        joints = watch.robot.create_publisher(JointState, "joint_states", qos.JOINT_STATES)
        now_ns = watch.robot.get_clock().now
        for i in range(1000):
            joints.publish(malformed_joints(i, now_ns().nanoseconds - 1))
        plans = watch.status.plans
        wait_for(lambda: watch.status.plans > plans + 5, 15.0, "plans go on")
        sent = list(watch.plans())
    for plan in sent:
        assert_executable(plan, LIMITS)
    complaints = [line for line in capfd.readouterr().err.splitlines() if "cannot be used" in line]
    assert 1 <= len(complaints) <= 20


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"height": HEIGHT, "width": 3 * WIDTH, "step": 9 * WIDTH}, "aspect ratio"),
        ({"encoding": "nonsense"}, "nonsense"),
        ({"data": b"too short"}, "bytes"),
    ],
    ids=["size", "encoding", "data"],
)
def test_an_unusable_image_holds_with_the_reason(ros_domain, checkpoint, changes, reason):
    with running(checkpoint) as watch:
        good = {"height": HEIGHT, "width": WIDTH, "encoding": "rgb8", "step": 3 * WIDTH}
        shape = good | changes
        data = shape.pop("data", bytes(shape["step"] * shape["height"]))
        images = watch.robot.create_publisher(Image, "top/image_raw", qos.IMAGES)
        watch.robot.camera_on = False

        def held():
            message = Image(**shape, data=data)
            message.header.stamp = watch.robot.get_clock().now().to_msg()
            images.publish(message)
            return watch.status.state == PolicyStatus.HOLD and reason in watch.status.hold_reason

        wait_for(held, 15.0, "a hold that names what is wrong with the image", interval=0.03)
        assert watch.status.hold_recoverable, "it goes on with good images"
