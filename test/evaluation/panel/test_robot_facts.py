# SPDX-License-Identifier: Apache-2.0
"""The panel shows the joints and cameras of any contract, in the contract's names and units."""

import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from dit_policy_ros.core.contract import JointStateTopic
from dit_policy_ros.evaluation.consoles import ServiceCalls
from dit_policy_ros.evaluation.panel._joints import JointHistory
from dit_policy_ros.evaluation.panel._robot_facts import FactsReader, RobotFacts

FOREIGN = {
    "joints": ["left_lift", "right_lift"],
    "joint_states.topics": ["/left/joint_states", "right/joint_states"],
    "joint_states.prefixes": ["left_", "right_"],
    "robot_names": ["right_lift = right_lift * -0.5 + 1.0"],
    "limits.left_lift.position_min": -1.0,
    "limits.left_lift.position_max": 1.0,
    "limits.left_lift.acceleration": 8.0,
    "limits.right_lift.acceleration": 8.0,  # its position limits are in a URDF
}


def asked(ros_domain: Any, parameters: dict[str, Any]) -> RobotFacts:
    """What a panel finds out from a node with these parameters."""
    from small_robot import spinning_together
    from waiting import wait_for

    node = Node(
        "policy", namespace="/cell", automatically_declare_parameters_from_overrides=True,
        parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
    )  # fmt: skip
    panel, found = Node("panel"), []
    with spinning_together(node, panel, threads=2):
        reader = FactsReader(ServiceCalls(panel), found.append)
        client = panel.count_services
        wait_for(lambda: client("/cell/policy/get_parameters"), 15.0, "the node's services")

        def ask() -> bool:
            if not found and not reader.is_asking:
                reader.ask("/cell/policy")
            return bool(found)

        wait_for(ask, 15.0, "the facts")
    return found[0]


def test_a_contract_without_cameras_and_with_several_topics_is_read(ros_domain) -> None:
    facts = asked(ros_domain, FOREIGN)
    assert facts.cameras == {} and facts.joints == ("left_lift", "right_lift")
    assert facts.joint_states == (
        JointStateTopic("/left/joint_states", "left_"),
        JointStateTopic("/cell/right/joint_states", "right_"),
    )
    assert facts.limits["left_lift"] == (-1.0, 1.0)
    assert np.isnan(facts.limits["right_lift"]).all()
    assert history_of(facts)["measured"] == [[0.25, 0.0]]


class FakeNode:
    def __init__(self) -> None:
        self.callbacks: dict[str, Any] = {}

    def create_subscription(self, kind: Any, topic: str, callback: Any, profile: Any) -> None:
        self.callbacks[topic] = callback


def history_of(facts: RobotFacts) -> dict[str, Any]:
    """What the panel plots after one message of each arm, of which the commands say nothing."""
    node: Any = FakeNode()
    history = JointHistory(node, facts, "/policy/commanded")
    left, right = (each.topic for each in facts.joint_states)
    node.callbacks[left](JointState(name=["fan", "lift"], position=[float("nan"), 0.25]))
    node.callbacks[right](JointState(name=["lift"], position=[2.0]))
    node.callbacks[right](JointState(name=["lift"], position=[]))  # not whole: left out
    history.tick(time.monotonic())
    shown = history.as_json()
    assert shown["commanded"] == [[None, None]]
    history.tick(time.monotonic() + 2.0)
    assert history.as_json()["measured"][-1] == [None, None]
    return shown
