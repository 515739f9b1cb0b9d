# SPDX-License-Identifier: Apache-2.0
"""An operator gets out of a HOLD for a controller that stands elsewhere, but not while it moves."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("control_msgs.msg", reason="control_msgs has no messages here: run make setup")
from contracts import SMALL_CONTRACT
from rclpy.lifecycle import LifecycleNode

from dit_policy_ros.core.motion import Plan
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.controllers._controller_states import ControllerState
from dit_policy_ros.ros.controllers._reference_watch import GRACE_NS

TICK_NS = 10_000_000
SECOND_NS = 1_000_000_000
ARM = SMALL_CONTRACT.controllers[0]
A = len(SMALL_CONTRACT.joints)


class Arm:
    """The interface, and a controller that is told where to stand, tick by tick, without waiting."""

    def __init__(self, node):
        self.interface = ControllerInterface(node, SMALL_CONTRACT, lambda _: None)
        self.now_ns = node.get_clock().now().nanoseconds
        self.tick(0.0)
        self.interface.start(self.standing(0.0), self.now_ns)

    def standing(self, position):
        return Plan(np.array([self.now_ns]), np.full((1, A), position), np.zeros((1, A)))

    def tick(self, position, seconds=0.0):
        """Its reference stands at a position for a while; the interface looks at every tick."""
        for _ in range(max(1, round(seconds * SECOND_NS / TICK_NS))):
            self.now_ns += TICK_NS
            reference = np.full(len(ARM.joints), position)
            newest = ControllerState(self.now_ns, self.now_ns, reference)
            self.interface.states.histories[ARM.name].newest = newest
            self.look()

    def look(self):
        return self.interface.fault(self.now_ns), self.interface.other_commander(self.now_ns)

    def refusal(self):
        """What an operator who resumes is told; empty if motion goes on."""
        self.interface.accept_standing(self.now_ns)
        return self.look()[1]


@pytest.fixture
def arm(ros_domain, monkeypatch):
    monkeypatch.setattr(ControllerInterface, "unreachable", lambda _: {})
    return Arm(LifecycleNode("policy"))


def test_a_controller_that_moves_is_refused_and_one_that_stands_is_accepted(arm):
    for step in range(150):
        arm.tick(0.3 + 0.001 * step)  # somebody else leads it
    assert "another commander" in arm.refusal()
    arm.tick(0.5, seconds=0.5)
    assert "another commander" in arm.refusal(), "it has hardly come to rest"
    arm.tick(0.5, seconds=0.6)
    assert "another commander" in arm.look()[1], "nothing is accepted without an operator"
    assert arm.refusal() == "" and arm.look() == ("", "")
    arm.tick(0.5, seconds=0.1)
    assert arm.look() == ("", ""), "it stands there until the next plan"


def test_after_that_it_is_judged_by_the_next_plan(arm):
    arm.tick(0.5, seconds=2.5)
    assert arm.refusal() == ""
    arm.interface._references.sent(arm.standing(0.5), {ARM.name}, arm.now_ns)
    arm.tick(0.5, seconds=2e-9 * GRACE_NS)
    assert arm.look() == ("", ""), "it follows the plan, which begins where it stands"
    arm.tick(0.9)
    assert "controller deviates" in arm.look()[0]
    arm.tick(0.9, seconds=1.0)
    assert "another commander" in arm.look()[1]


def test_a_command_that_is_not_finite_is_never_accepted(arm):
    arm.tick(0.5, seconds=1.5)
    arm.tick(float("nan"), seconds=2.0)
    arm.interface.accept_standing(arm.now_ns)
    assert "controller broken" in arm.look()[0]
