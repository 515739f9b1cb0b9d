# SPDX-License-Identifier: Apache-2.0
"""An operator gets out of a HOLD for an image that does not change; a camera that hangs holds again."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import running
from ros_testing import call, resume
from small_robot import JOINTS
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus

REST = {f"rest_pose__{joint}": 0.02 for joint in JOINTS}
FROZEN = "the image has been the same"


def move(robot):
    """All arms are elsewhere from now on; the small robot's images stay the same all the same."""
    for joint in ("left_joint_1", "right_joint_1"):
        robot.positions[joint] += 0.1


def for_statuses(watch, count):
    """Wait for that many further statuses of the policy node."""
    seen = []
    watch.robot.create_subscription(PolicyStatus, "/policy/status", seen.append, 10)
    wait_for(lambda: len(seen) >= count, 15.0, f"{count} statuses")
    return seen


def test_resume_accepts_an_unchanged_image_until_all_arms_have_moved_again(ros_domain, checkpoint):
    with running(checkpoint, frozen_after=0.3) as watch:
        move(watch.robot)
        watch.wait_hold(FROZEN)
        held = for_statuses(watch, 6)  # much longer than recovery_time
        assert {each.state for each in held} == {PolicyStatus.HOLD}, "it resumed although nothing changed"
        answer = resume(watch.robot)
        assert "the image of top counts as frozen again once all arms have moved" in answer
        watch.wait_state(PolicyStatus.RUNNING)
        moves = for_statuses(watch, 6)  # longer than frozen_after
        assert {each.state for each in moves} == {PolicyStatus.RUNNING}, "the arms have not moved"
        move(watch.robot)
        watch.wait_hold(FROZEN)  # the camera hangs indeed
        watch.robot.frames_differ = True
        watch.wait_state(PolicyStatus.RUNNING)  # by itself


@pytest.mark.slow
def test_a_latched_e_stop_lets_no_image_be_accepted(ros_domain, checkpoint):
    with running(checkpoint, frozen_after=0.3) as watch:
        move(watch.robot)
        watch.wait_hold(FROZEN)
        assert call(watch.robot, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
        answer = call(watch.robot, Trigger, "/policy/resume", Trigger.Request())
        assert not answer.success and "e-stop is latched" in answer.message
        assert call(watch.robot, SetBool, "/policy/e_stop", SetBool.Request(data=False)).success
        assert watch.node.state.configured.link.streams.unchanged == ["top"]
        resume(watch.robot)
        watch.wait_state(PolicyStatus.RUNNING)


@pytest.mark.slow
def test_resuming_while_the_arms_stand_at_the_rest_pose_accepts_images_too(ros_domain, checkpoint):
    with running(checkpoint, frozen_after=0.3, **REST) as watch:
        move(watch.robot)
        watch.wait_hold(FROZEN)
        home = Trigger.Request()
        wait_for(lambda: call(watch.robot, Trigger, "/policy/home", home).success, 10.0, "the way home")
        watch.wait_state(PolicyStatus.HOMING)
        resume(watch.robot)
        watch.wait_state(PolicyStatus.RUNNING)
