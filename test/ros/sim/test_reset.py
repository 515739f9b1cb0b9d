# SPDX-License-Identifier: Apache-2.0
"""The simulator's reset under a running policy: a robot that restarts, not an arm that does not follow."""

import re

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from ros_testing import call, spinning  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from small_robot import TASKS, tiny_checkpoint  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from dit_policy_ros.core.share import share_directory  # noqa: E402
from dit_policy_ros.msg import PolicyStatus  # noqa: E402
from dit_policy_ros.ros.common import qos  # noqa: E402
from dit_policy_ros.sim.robot import HOME, JOINTS  # noqa: E402
from dit_policy_ros.srv import SetTask  # noqa: E402

FAR = 1.2  # [rad] from home, for joint 1 of both arms: far more than max_tracking_error
SERVICES = {
    "dit_policy_ros/srv/SetTask": SetTask,
    "std_srvs/srv/SetBool": SetBool,
    "std_srvs/srv/Trigger": Trigger,
}


def readme_commands() -> list[tuple[str, str, dict]]:
    """The service calls of the README's list: name, type, fields."""
    text = (share_directory() / "README.md").read_text().partition("From another\nterminal")[2]
    found = re.findall(r'    ros2 service call (\S+) (\S+)(?: "(.*)")?', text.partition("--show-args")[0])
    return [(name, kind, yaml.safe_load(fields or "{}")) for name, kind, fields in found]


class Observer:
    """Keeps the policy's statuses and the joints."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("observer")
        self.statuses: list[PolicyStatus] = []
        self.joints: list[tuple[float, float]] = []  # position [rad], velocity [rad/s] of the first joint
        self.node.create_subscription(PolicyStatus, "/policy/status", self.statuses.append, qos.STATUS)
        self.node.create_subscription(JointState, "/joint_states", self._on_joints, qos.JOINT_STATES)

    def _on_joints(self, message: JointState) -> None:
        index = list(message.name).index(JOINTS[0])
        self.joints.append((message.position[index], message.velocity[index]))

    def is_away(self) -> bool:
        """Whether the policy runs and the arms are far from home."""
        return (
            bool(self.statuses)
            and self.statuses[-1].state == PolicyStatus.RUNNING
            and self.joints[-1][0] - HOME[0] > 0.7 * FAR
        )


@pytest.fixture
def running(ros_domain, start_process, wait_for, tmp_path):
    """A policy that holds the arms far from home, and an observer."""
    away = HOME.copy()
    away[[JOINTS.index("left_joint_1"), JOINTS.index("right_joint_1")]] += FAR
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS, around=away)
    sim = ("cameras:=[top]", "image_width:=64", "image_height:=48", "discovery_time:=0.0")
    start_process(
        "sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *(a for each in sim for a in ("-p", each))
    )
    # A busy computer infers slowly; this is not about latency.
    policy = (f"checkpoint:={checkpoint}", f"task:={TASKS[0]}", "device:=cpu", "plan_horizon:=2.0")
    policy += ("unseen_state:=limit",)  # home is far from what it knows
    policy += ("frozen_after:=0.0",)  # 64 pixels do not show how the arms move far from home
    config = ("--params-file", str(share_directory() / "config" / "bimanual.yaml"))
    start_process(
        "policy",
        "dit_policy_ros.ros.policy.policy_node",
        *("--ros-args", *config, *(a for each in policy for a in ("-p", each))),
    )
    observer = Observer()
    with spinning(observer.node):
        wait_for(lambda: observer.joints, 60.0, "the robot is up")
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert call(observer.node, ChangeState, "/policy/change_state", request, 60.0).success
        wait_for(observer.is_away, 60.0, "the arms are far from home")
        yield observer


@pytest.mark.slow  # the whole system in real time
def test_a_running_policy_holds_and_resumes_by_itself_from_where_the_arms_are(running, wait_for):
    seen, moved = len(running.statuses), len(running.joints)
    answer = call(running.node, Trigger, "/sim/reset", Trigger.Request())
    assert answer.success and "restart" in answer.message
    wait_for(lambda: running.joints[-1][0] - HOME[0] < 0.2 * FAR, 20.0, "the arms are at home")
    wait_for(running.is_away, 60.0, "the policy moves them again")
    holds = [status for status in running.statuses[seen:] if status.state == PolicyStatus.HOLD]
    assert holds and all(status.hold_recoverable for status in holds)
    position, velocity = np.array(running.joints[moved:]).T  # (n,), (n,)
    home = int(np.argmin(np.abs(position - HOME[0])))
    assert np.abs(velocity[home:]).max() < 2.5 * 1.2, "no jump: the contract's limit is 2.5 rad/s"


@pytest.mark.slow
def test_the_commands_of_the_readme_end_with_a_policy_that_runs(running, wait_for):
    commands = readme_commands()
    assert [name for name, *_ in commands][-1] == "/sim/reset"
    for name, kind, fields in commands:
        request = SERVICES[kind].Request(**fields)

        def succeeds(name=name, kind=kind, request=request) -> bool:  # a person types slowly: the arms brake
            return call(running.node, SERVICES[kind], name, request).success

        wait_for(succeeds, 20.0, name)
    holds = int(running.statuses[-1].holds)
    wait_for(lambda: int(running.statuses[-1].holds) > holds, 20.0, "the policy notices the reset")
    wait_for(running.is_away, 60.0, "the policy runs again, and nobody has called ~/resume")
