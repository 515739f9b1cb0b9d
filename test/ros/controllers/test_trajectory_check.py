# SPDX-License-Identifier: Apache-2.0
import copy

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import SMALL_CONTRACT
from motion_helpers import PERIOD_NS, T0_NS

from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import Plan
from dit_policy_ros.ros.controllers._trajectory_check import check_trajectory
from dit_policy_ros.ros.controllers._trajectory_messages import plan_messages
from dit_policy_ros.sim.controllers._trajectory_controller import reject_reason

ARM = SMALL_CONTRACT.controller("arm")
NOW_NS = T0_NS + PERIOD_NS // 2


def good_message():
    plan = Plan(T0_NS + PERIOD_NS * np.arange(4, dtype=np.int64), np.zeros((4, 3)), np.zeros((4, 3)))
    return plan_messages(plan, SMALL_CONTRACT)["arm"]


def test_only_rounding_errors_beyond_a_limit_are_removed():
    limits = SMALL_CONTRACT.limits
    positions = np.stack(
        [limits.position_min - 1e-12, limits.position_max + 1e-12, limits.position_min - 0.01]
    )
    plan = Plan(T0_NS + PERIOD_NS * np.arange(3, dtype=np.int64), positions, np.zeros_like(positions))
    for name, message in plan_messages(plan, SMALL_CONTRACT).items():
        columns = SMALL_CONTRACT.indices(name)
        expected = np.stack([limits.position_min, limits.position_max, positions[2]])[:, columns]
        assert [list(point.positions) for point in message.points] == expected.tolist()


def break_rule(what, message):
    points = message.points
    match what:
        case "no names":
            message.joint_names = []
        case "a joint of another controller":
            message.joint_names = ["shoulder", "finger"]
        case "fewer joints":
            message.joint_names = ["shoulder"]
        case "a joint twice":
            message.joint_names = ["shoulder", "shoulder"]
        case "no points":
            message.points = []
        case "a field of another length":
            points[1].positions = [0.0]
        case "no velocities":
            points[1].velocities = []
        case "some accelerations":
            points[1].accelerations = [0.0]
        case "effort":
            points[1].effort = [0.0, 0.0]
        case "nan":
            points[2].positions = [0.0, float("nan")]
        case "times stand still":
            points[2].time_from_start = copy.copy(points[1].time_from_start)
        case "moving at the end":
            points[-1].velocities = [0.0, 0.01]
        case "over":
            message.header.stamp.sec -= 10
        case "only future points":
            message.header.stamp.sec += 10
        case "stamp 0":
            message.header.stamp.sec = message.header.stamp.nanosec = 0


RULES = {
    "no names": r"names the joints \(none\)",
    "a joint of another controller": "names the joints shoulder, finger",
    "fewer joints": "the controller owns shoulder, elbow",
    "a joint twice": "names the joints shoulder, shoulder",
    "no points": "no points",
    "a field of another length": "1 positions for 2 joints at point 1",
    "no velocities": "0 velocities for 2 joints at point 1",
    "some accelerations": "accelerations for some joints only",
    "effort": "effort, at point 1",
    "nan": "not finite at point 2",
    "times stand still": "strictly increasing",
    "moving at the end": "instead of at rest",
    "over": "not be over",
    "only future points": "must have begun",
    "stamp 0": "not be over",
}


def test_a_message_made_from_a_plan_passes():
    check_trajectory(good_message(), ARM, NOW_NS)


@pytest.mark.parametrize("what", RULES)
def test_every_rule_of_the_controller_is_checked(what):
    message = good_message()
    break_rule(what, message)
    with pytest.raises(PlanRejected, match=RULES[what]) as caught:
        check_trajectory(message, ARM, NOW_NS)
    assert "arm" in str(caught.value)


@pytest.mark.parametrize("what", RULES)
def test_every_message_that_the_simulated_controller_rejects_is_refused(what):
    from dit_policy_ros.ros.sim._messages import trajectory_from

    message = good_message()
    break_rule(what, message)
    if reject_reason(trajectory_from(message), ARM.joints, NOW_NS) is not None:
        with pytest.raises(PlanRejected):
            check_trajectory(message, ARM, NOW_NS)
