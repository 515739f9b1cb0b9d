# SPDX-License-Identifier: Apache-2.0
"""Runs a policy node with the small robot, and observes both."""

import contextlib

import numpy as np
from ros_testing import call
from small_robot import CONTROLLERS, SmallRobot, parameters, policy_node, spinning_together
from waiting import wait_for

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion import Plan
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import stamp_ns
from dit_policy_ros.srv import SetTask

LIMITS = Limits(
    np.array([-1.5, 0.0, -1.5, 0.0]),
    np.array([1.5, 0.04, 1.5, 0.04]),
    np.array([2.0, 0.2, 2.0, 0.2]),
    np.array([8.0, 2.0, 8.0, 2.0]),
)


class Watch:
    """A running robot and node, and the node's newest status."""

    def __init__(self, robot, node):
        self.robot, self.node = robot, node
        self.status = PolicyStatus()
        robot.create_subscription(PolicyStatus, "/policy/status", self._on_status, 10)

    @property
    def policy(self):
        """The policy itself, in the inference node."""
        return self.node.inference.configured.policy

    def _on_status(self, message):
        self.status = message

    def wait_state(self, state, timeout=10.0):
        wait_for(
            lambda: self.status.state == state,
            timeout,
            lambda: f"state {state}, not {self.status.state_name}: {self.status.hold_reason}",
        )

    def wait_hold(self, reason):
        """Wait for a hold with this reason. A busy machine may hold for a late stream first, and resume."""
        wait_for(
            lambda: self.status.state == PolicyStatus.HOLD and reason in self.status.hold_reason,
            15.0,
            lambda: f"a hold because of {reason!r}, not {self.status.hold_reason!r}",
        )

    def task(self, text):
        return call(self.robot, SetTask, "/policy/set_task", SetTask.Request(task=text))

    def plans(self):
        """Every plan received so far, put together from the four controllers' messages with one stamp."""
        streams = [self.robot.of(name) for name in CONTROLLERS]
        count = min(len(stream) for stream in streams)
        for messages in zip(*(stream[:count] for stream in streams), strict=True):
            assert len({stamp_ns(message.header.stamp) for message in messages}) == 1, (
                "both arms must have the same stamp"
            )
            start_ns = stamp_ns(messages[0].header.stamp)
            offsets = [p.time_from_start for p in messages[0].points]
            times_ns = start_ns + np.array([o.sec * 1_000_000_000 + o.nanosec for o in offsets])
            columns = [np.array([p.positions[0] for p in message.points]) for message in messages]
            speeds = [np.array([p.velocities[0] for p in message.points]) for message in messages]
            yield Plan(times_ns, np.stack(columns, axis=1), np.stack(speeds, axis=1))


@contextlib.contextmanager
def running(checkpoint, activate=True, **changes):
    robot = SmallRobot()
    node = policy_node(parameters(checkpoint=str(checkpoint), **changes))
    watch = Watch(robot, node)
    with spinning_together(robot, node):
        node.trigger_configure()
        if activate:
            wait_for(lambda: node.trigger_activate() and state(node) == "active", 10.0, "activation")
            wait_for(lambda: watch.status.plans >= 3, 10.0, "three plans")
        yield watch


def state(node):
    return node.lifecycle_state
