# SPDX-License-Identifier: Apache-2.0
"""A session asks nodes what parameters they use, and compares that with what was asked for."""

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from ros_testing import spinning

from dit_policy_ros.evaluation.session import Session, SessionError, session_commands

VALUES = {"velocity_scale": 1.0, "mode": "act", "names": ["a", "b"], "numbers": [1.0, 2.0], "steps": 3}


@pytest.fixture
def session(ros_domain) -> Iterator[Session]:
    node, executor = rclpy.create_node("session"), SingleThreadedExecutor()
    executor.add_node(node)
    policy = rclpy.create_node("policy")
    for name, value in VALUES.items():
        policy.declare_parameter(name, value)
    with spinning(policy):
        yield Session(node, executor, ())
    executor.shutdown()
    node.destroy_node()


def test_the_node_is_asked(session) -> None:
    assert session.parameters(list(VALUES)) == VALUES
    session.check_parameters({"velocity_scale": "1", "mode": "act", "names": "[a, b]", "steps": "3"})
    session.check_parameters({})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"velocity_scale": "0.05", "mode": "act"}, "velocity_scale should be 0.05, is 1.0$"),
        ({"mode": "newest"}, "mode should be newest, is 'act'"),
        ({"names": "[a]"}, r"names should be \[a\], is \['a', 'b'\]"),
        ({"unknown": "1"}, "does not have all of the parameters unknown"),
    ],
)
def test_what_was_asked_for_and_is_not_used_is_an_error(session, asked, words) -> None:
    with pytest.raises(SessionError, match=words):
        session.check_parameters(asked)


def test_the_simulated_robot_has_the_contract_that_the_policy_is_given() -> None:
    contract = {"cameras.top.topic": "top/image_raw/compressed", "cameras.top.compressed": "true"}
    commands = session_commands({**contract, "velocity_scale": "0.5"}, {"seed": "3"})
    sim = commands["sim"]
    assert {name: sim.parameters[name] for name in contract} == contract
    assert sim.parameters["seed"] == "3" and "velocity_scale" not in sim.parameters
    assert sim.parameter_file == commands["policy"].parameter_file
    assert session_commands({"velocity_scale": "0.5"}, {})["sim"].parameter_file is None
