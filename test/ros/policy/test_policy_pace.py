# SPDX-License-Identifier: Apache-2.0
"""How fast the policy node moves: in turns with a slow policy, and with a share of the speed."""

import contextlib
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_testing import call
from small_robot import SmallRobot, parameters, spinning_together, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.policy import load_policy
from dit_policy_ros.ros.common import stamp_ns
from dit_policy_ros.ros.policy import policy_node
from dit_policy_ros.ros.policy.policy_node import PolicyNode

LATENCY = 2.0  # [s]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


class SlowPolicy:
    """A real policy on a machine that takes two seconds for it."""

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
    monkeypatch.setattr(policy_node, "load_policy", lambda *a, **k: SlowPolicy(load_policy(*a, **k)))


@contextlib.contextmanager
def configured(checkpoint, **changes):
    robot = SmallRobot()
    node = PolicyNode(parameter_overrides=parameters(checkpoint=str(checkpoint), **changes))
    with spinning_together(robot, node):
        node.trigger_configure()
        yield robot, node


def test_a_policy_of_two_seconds_is_refused_unless_it_is_to_move_in_turns(
    ros_domain, checkpoint, slow, capfd
):
    with configured(checkpoint) as (_, node):
        assert node._configured is None
    assert "set pacing to stop_and_go" in capfd.readouterr().err


def test_a_policy_of_two_seconds_moves_in_turns(ros_domain, checkpoint, slow):
    with configured(checkpoint, pacing="stop_and_go") as (robot, node):
        wait_for(lambda: node.trigger_activate() and node._active is not None, 10.0, "activation")
        motion, figures = node._configured.motion, node._active.worker.figures
        began, rest = [], [motion.pipeline.plan.end_ns]
        for turn in (1, 2):
            wait_for(lambda n=turn: figures.chunks == n, 15.0, f"chunk {turn}")
            began.append(figures.newest_stamp_ns)
            assert began[-1] >= rest[-1], "the policy observes arms at rest"
            wait_for(lambda: motion.may_observe(node._now_ns()), 10.0, "the chunk is carried out")
            rest.append(motion.pipeline.plan.end_ns)
        assert motion.pipeline.holds == 0 and motion.state is MotionState.RUNNING
        sent = robot.of("left_arm_controller")
        assert len(sent) > 4, "a chunk is carried out in several plans, none longer than the blind time"
        for message in sent:
            end = message.points[-1].time_from_start
            assert end.sec + end.nanosec * 1e-9 <= 0.6 + 1 / 30
        moved = [rest[1] - began[0], rest[2] - began[1]]
        assert min(moved) > (LATENCY + 0.9) * 1e9, "all of a chunk is carried out after it was inferred"
        assert stamp_ns(sent[0].header.stamp) >= began[0] + LATENCY * 1e9 - 1e9 / 30


def speeds(robot, since):
    """The greatest speed that each message to an arm asks for, after the first so many, (N,) [rad/s]."""
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


def test_the_speed_is_scaled_from_the_first_plan_on_and_while_running(ros_domain, checkpoint):
    with configured(checkpoint, velocity_scale=0.02) as (robot, node):
        wait_for(lambda: node.trigger_activate() and node._active is not None, 10.0, "activation")
        wait_for(lambda: len(robot.of("left_arm_controller")) >= 10, 10.0, "plans")
        slow = speeds(robot, 0)
        assert 0.0 < slow.max() <= 0.02 * 2.0 + 1e-9
        assert set_scale(robot, 1.0).successful
        wait_for(lambda: speeds(robot, 0).max() > 0.1, 10.0, "faster motion")
        assert set_scale(robot, 0.02).successful
        slowed = len(robot.received) + 40  # plans that were under way, and the frozen knots of the next
        wait_for(lambda: len(robot.received) > slowed + 40, 10.0, "plans go on")
        assert speeds(robot, slowed).max() <= 0.02 * 2.0 + 1e-9


@pytest.mark.parametrize("value", [0.0, 1.5, float("nan")])
def test_a_scale_that_is_none_is_refused_with_the_range(ros_domain, checkpoint, value):
    with configured(checkpoint) as (robot, _):
        answer = set_scale(robot, value)
        assert not answer.successful
        assert "0.01" in answer.reason or "range" in answer.reason


@pytest.mark.parametrize(
    ("name", "value"), [("recovery_time", 1.5), ("idle_time", 2.0), ("stream_timeout", 9.0)]
)
def test_what_is_safe_to_change_is_in_force_at_once(ros_domain, checkpoint, name, value):
    with configured(checkpoint) as (robot, node):
        assert set_number(robot, name, value).successful
        assert node._configured.settings[name] == value
        refused = set_number(robot, name, -1.0)
        assert not refused.successful and name in refused.reason
        assert node._configured.settings[name] == value


@pytest.mark.parametrize(
    "name", ["plan_horizon", "soft_start", "ensemble.temporal_ensemble_coeff", "limits.left_joint_1.velocity"]
)
def test_what_plans_and_replays_depend_on_stays_as_it_was_configured(ros_domain, checkpoint, name):
    with configured(checkpoint) as (robot, node):
        before = node.get_parameter(name).value
        answer = set_number(robot, name, 0.7)
        assert not answer.successful and "read-only" in answer.reason
        assert node.get_parameter(name).value == before
