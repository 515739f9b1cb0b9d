# SPDX-License-Identifier: Apache-2.0
"""Pace of the policy node: stop_and_go for a slow policy, and velocity_scale."""

import contextlib
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import state
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_testing import call, now_ns
from small_robot import SmallRobot, parameters, policy_node, spinning_together
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for

from dit_policy_ros.core.motion import PLAN_HISTORY, MotionState
from dit_policy_ros.policy import load_policy
from dit_policy_ros.ros.common import stamp_ns
from dit_policy_ros.ros.inference import inference_node
from dit_policy_ros.ros.policy.policy_node import PolicyNode

pytestmark = pytest.mark.slow  # others cover the way; these are whole systems again

LATENCY = 2.0  # [s]


class SlowPolicy:
    """A real policy whose inference takes two seconds."""

    def __init__(self, policy):
        self._policy = policy

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def predict(self, *arguments, **options):
        threading.Event().wait(LATENCY)
        return self._policy.predict(*arguments, **options)

    def warm_up(self, n):
        return self._policy.warm_up(n) + LATENCY


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr(inference_node, "load_policy", lambda *a, **k: SlowPolicy(load_policy(*a, **k)))


@contextlib.contextmanager
def configured(checkpoint, **changes):
    robot = SmallRobot()
    node = policy_node(parameters(checkpoint=str(checkpoint), **changes))
    with spinning_together(robot, node):
        node.trigger_configure()
        yield robot, node


def test_a_slow_policy_is_refused_unless_pacing_is_stop_and_go(ros_domain, checkpoint, slow, capfd):
    with configured(checkpoint) as (_, node):
        assert node.state.configured is None
    assert "set pacing to stop_and_go" in capfd.readouterr().err


def due(message: JointTrajectory, point: int) -> int:
    """When a point of a message is due [ns]."""
    offset = message.points[point].time_from_start
    return stamp_ns(message.header.stamp) + offset.sec * 1_000_000_000 + offset.nanosec


@pytest.mark.slow  # a slow policy takes its time
def test_a_slow_policy_moves_with_stop_and_go(ros_domain, checkpoint, slow):
    with configured(checkpoint, pacing="stop_and_go") as (robot, node):
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 10.0, "activation")
        motion, figures = node.state.configured.motion, node.state.configured.link.figures
        began, rest = [], [motion.pipeline.plan.end_ns]
        for turn in (1, 2):
            wait_for(lambda n=turn: figures.chunks == n, 15.0, f"chunk {turn}")
            began.append(figures.newest_stamp_ns)
            assert began[-1] >= rest[-1], "the policy observes at rest"
            wait_for(
                lambda: motion.accepts_observation(now_ns(node)),
                10.0,
                "the chunk is executed",
            )
            rest.append(motion.pipeline.plan.end_ns)
        assert motion.pipeline.holds == 0 and motion.state is MotionState.RUNNING
        sent = robot.of("left_arm_controller")
        assert len(sent) > 4, "a chunk is executed in several plans, none longer than plan_horizon"
        for message in sent:
            assert due(message, -1) - due(message, 0) <= (PLAN_HISTORY + 1 / 30 + 0.6) * 1e9, (
                "and its history"
            )
        moved = [rest[1] - began[0], rest[2] - began[1]]
        assert min(moved) > (LATENCY + 0.9) * 1e9, "the whole chunk is executed after its inference"
        first = next(i for i, point in enumerate(sent[0].points) if np.any(point.velocities))
        assert due(sent[0], first) >= began[0] + LATENCY * 1e9, "nothing moves before the inference has ended"


def speeds(robot, since):
    """The highest speed in each message to an arm, from message number `since` on, (N,) [rad/s]."""
    messages = [m for name, m in robot.received[since:] if "arm" in name]
    return np.array([max(abs(p.velocities[0]) for p in m.points) for m in messages])


def set_number(robot, name, value):
    changed = ParameterMessage(
        name=name, value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    )
    request = SetParameters.Request(parameters=[changed])
    return call(robot, SetParameters, "/policy/set_parameters", request).results[0]


def set_scale(robot, value):
    return set_number(robot, "velocity_scale", value)


def test_velocity_scale_applies_from_the_first_plan_and_while_running(ros_domain, checkpoint):
    with configured(checkpoint, velocity_scale=0.02) as (robot, node):
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 10.0, "activation")
        wait_for(lambda: len(robot.of("left_arm_controller")) >= 10, 10.0, "plans")
        slow = speeds(robot, 0)
        assert 0.0 < slow.max() <= 0.02 * 2.0 + 1e-9
        assert set_scale(robot, 1.0).successful
        wait_for(lambda: speeds(robot, 0).max() > 0.1, 10.0, "faster motion")
        assert set_scale(robot, 0.02).successful
        slowed = len(robot.received) + 40  # skip plans made before the change, and the frozen knots after it
        wait_for(lambda: len(robot.received) > slowed + 40, 10.0, "plans go on")
        assert speeds(robot, slowed).max() <= 0.02 * 2.0 + 1e-9


@pytest.mark.parametrize("value", [0.0, 1.5, float("nan")])
def test_an_invalid_velocity_scale_is_refused_with_the_range(ros_domain, checkpoint, value):
    with configured(checkpoint) as (robot, _):
        answer = set_scale(robot, value)
        assert not answer.successful
        assert "0.01" in answer.reason or "range" in answer.reason


@pytest.mark.parametrize(
    ("name", "value"), [("recovery_time", 1.5), ("idle_time", 2.0), ("stream_timeout", 9.0)]
)
def test_parameters_that_may_change_at_run_time_take_effect_at_once(ros_domain, checkpoint, name, value):
    with configured(checkpoint) as (robot, node):
        assert set_number(robot, name, value).successful
        assert node.state.configured.settings[name] == value
        refused = set_number(robot, name, -1.0)
        assert not refused.successful and name in refused.reason
        assert node.state.configured.settings[name] == value


@pytest.mark.parametrize(
    "name", ["plan_horizon", "soft_start", "ensemble.temporal_ensemble_coeff", "limits.left_joint_1.velocity"]
)
def test_parameters_that_plans_and_replays_depend_on_are_fixed_while_configured(ros_domain, checkpoint, name):
    with configured(checkpoint) as (robot, node):
        before = node.get_parameter(name).value
        answer = set_number(robot, name, 0.7)
        assert not answer.successful and "ros2 lifecycle set /policy cleanup" in answer.reason
        assert node.get_parameter(name).value == before


def test_a_mistyped_checkpoint_can_be_corrected_without_starting_again(ros_domain, checkpoint, tmp_path):
    # In a process of its own, which gets the parameters as they are at configure.
    mistyped = parameters(checkpoint=str(tmp_path / "mistyped"), inference="process")
    node = PolicyNode(parameter_overrides=mistyped)
    with spinning_together(node):
        node.trigger_configure()
        assert state(node) == "unconfigured"
        changes = {"checkpoint": str(checkpoint), "control_rate": 40.0, "limits.left_joint_1.velocity": 0.7}
        for name, value in changes.items():
            assert node.set_parameters([Parameter(name, value=value)])[0].successful, name
        node.trigger_configure()
        assert state(node) == "inactive"
        configured = node.state.configured
        assert configured.settings["control_rate"] == 40.0
        assert configured.contract.limits.velocity[0] == 0.7
        refused = node.set_parameters([Parameter("control_rate", value=50.0)])[0]
        assert "`ros2 lifecycle set /policy cleanup`" in refused.reason
        node.trigger_cleanup()
        assert node.set_parameters([Parameter("control_rate", value=50.0)])[0].successful
        node.trigger_configure()
        assert node.state.configured.settings["control_rate"] == 50.0
