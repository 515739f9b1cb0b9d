# SPDX-License-Identifier: Apache-2.0
"""Simulator and policy node as separate processes over DDS, as a user runs them."""

import signal

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_testing import call, spinning
from sensor_msgs.msg import JointState
from small_robot import TASKS, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.core.share import share_directory
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.sim.robot import HOME, JOINTS
from dit_policy_ros.srv import SetTask


class Observer:
    """Keeps the newest status, referee message and joint speed."""

    def __init__(self):
        self.node = rclpy.create_node("observer")
        self.status, self.referee, self.speed = PolicyStatus(), {}, np.inf
        self.node.create_subscription(PolicyStatus, "/policy/status", self._on_status, 10)
        self.node.create_subscription(DiagnosticStatus, "/sim/referee", self._on_referee, 10)
        self.node.create_subscription(JointState, "/joint_states", self._on_joints, 10)

    def _on_status(self, message):
        self.status = message

    def _on_referee(self, message):
        self.referee = {pair.key: pair.value for pair in message.values}

    def _on_joints(self, message):
        self.speed = float(np.abs(message.velocity).max())

    def transition(self, number):
        request = ChangeState.Request(transition=Transition(id=number))
        return call(self.node, ChangeState, "/policy/change_state", request, timeout=150.0).success


@pytest.fixture
def loop(ros_domain, start_process, tmp_path):
    """Simulator, active policy node and observer."""
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS, around=HOME)
    sim = start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", "-p", "discovery_time:=0.0")
    policy = start_process(
        "policy",
        "dit_policy_ros.ros.policy.policy_node",
        *("--ros-args", "--params-file", str(share_directory() / "config" / "bimanual.yaml")),
        *("-p", f"checkpoint:={checkpoint}", "-p", f"task:={TASKS[0]}", "-p", "plan_horizon:=0.8"),
    )
    observer = Observer()
    with spinning(observer.node):
        wait_for(lambda: observer.speed < np.inf, 60.0, "the simulator is up")
        assert observer.transition(Transition.TRANSITION_CONFIGURE)
        assert observer.transition(Transition.TRANSITION_ACTIVATE)
        wait_for(lambda: observer.status.plans >= 5, 20.0, "five plans")
        yield sim, policy, observer


def test_the_simulated_controllers_accept_every_plan_and_the_task_changes(loop):
    sim, policy, observer = loop
    answer = call(observer.node, SetTask, "/policy/set_task", SetTask.Request(task=TASKS[1]))
    assert answer.success, answer.message
    plans = observer.status.plans
    wait_for(lambda: observer.status.plans >= plans + 10, 20.0, "plans for the new task")
    assert observer.status.task == TASKS[1]
    wait_for(lambda: int(observer.referee.get("trajectories_accepted", 0)) >= 4 * plans, 10.0, "plans arrive")
    # If the machine stalls for half a second, a plan can arrive too late. No other rejection is allowed.
    rejected = [line for line in sim.output().splitlines() if "rejects a trajectory" in line]
    assert not [line for line in rejected if "ends in the past" not in line]
    assert observer.referee["nan_commands"] == "0"
    policy.process.send_signal(signal.SIGINT)
    wait_for(lambda: not policy.alive, 15.0, "the node ends on SIGINT")
    assert policy.process.returncode == 0
    wait_for(lambda: observer.speed < 0.02, 10.0, "the arms stand after the node has ended")


def test_arms_come_to_rest_when_the_policy_process_is_killed(loop):
    _, policy, observer = loop
    wait_for(lambda: observer.speed > 0.05, 20.0, "the arms move")
    policy.process.kill()
    wait_for(lambda: not policy.alive, 10.0, "the process is gone")
    wait_for(lambda: observer.speed < 0.02, 10.0, "the arms come to rest along their last plan")
    assert observer.referee["nan_commands"] == "0"
