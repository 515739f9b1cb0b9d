# SPDX-License-Identifier: Apache-2.0
"""Robots of any layout are commanded: nothing assumes two arms with a gripper each, or a rate of 30 Hz."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.core.contract import Contract, ControllerType, parse_contract
from dit_policy_ros.core.motion import Chunk, Pipeline, Plan
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.ros.controllers._trajectory_check import check_trajectory
from dit_policy_ros.ros.controllers._trajectory_messages import plan_messages
from dit_policy_ros.ros.policy import POLICY_PARAMETERS, motion_settings

NOW = 1_700_000_000_000_000_000
REPLAN_NS = 100_000_000
# By layout, the controllers and their joints. A name says what a joint is.
LAYOUTS: dict[str, dict[str, list[str]]] = {
    "one joint": {"arm": ["j1"]},
    "one arm": {"arm": [f"j{number}" for number in range(1, 8)]},
    "one arm and a gripper": {"arm": ["j1", "j2", "j3"], "grip_controller": ["grip"]},
    "arm and gripper in one controller": {"all": ["j1", "j2", "grip"]},
    "two arms, one gripper": {"a": ["a1", "a2"], "b": ["b1", "b2"], "grip_controller": ["grip"]},
    "a hand with many joints": {"arm": ["j1", "j2"], "grip_hand": [f"grip{number}" for number in range(16)]},
    "grippers only": {"grip_a": ["grip_a1"], "grip_b": ["grip_b1"]},
    "a gripper that takes goals": {"arm": ["j1"], "goal_grip": ["grip"]},
    "arms, torso, head, lift and wheels": {
        "left": [f"l{number}" for number in range(7)],
        "right": [f"r{number}" for number in range(7)],
        "torso": ["waist", "lift"],
        "head": ["pan", "tilt"],
        "spinner": ["endless"],
        "grip_left": ["grip_l"],
        "goal_right": ["grip_r"],
    },
}


def limits_of(joint: str) -> dict[str, Any]:
    if "grip" in joint:
        return {"position_min": 0.0, "position_max": 0.04, "velocity": 0.2, "acceleration": 2.0}
    if joint == "lift":
        return {"position_min": 0.0, "position_max": 0.8, "velocity": 0.3, "acceleration": 1.0} | {
            "prismatic": True
        }
    if joint == "endless":
        return {"continuous": True, "velocity": 3.0, "acceleration": 9.0}
    return {"position_min": -2.0, "position_max": 2.0, "velocity": 2.0, "acceleration": 8.0}


def contract_of(layout: str, fps: float) -> Contract:
    controllers = LAYOUTS[layout]
    joints = [joint for owned in controllers.values() for joint in owned][::-1]
    mapping: dict[str, Any] = {
        "robot_type": "any",
        "fps": fps,
        "joints": joints,
        "joint_states": {"topic": "joint_states", "max_age": 0.2},
        "robot_names": [f"{joint} = {joint}_motor * -0.5 + 0.125" for joint in joints],
        "controllers": {"names": list(controllers)},
        "limits": {joint: limits_of(joint) for joint in joints},
    }
    for name, owned in controllers.items():
        kind = "parallel_gripper_controller" if "goal" in name else "joint_trajectory_controller"
        mapping["controllers"][name] = {
            "type": kind,
            "joints": owned,
            "gripper": "gr" in name or "goal" in name,
        }
    return parse_contract(mapping, layout)


def wanted(contract: Contract, times: np.ndarray) -> np.ndarray:
    """A smooth motion of all joints within their limits at times (K,) [s], (K, A)."""
    low, high = contract.limits.position_min, contract.limits.position_max
    middle = np.where(contract.limits.continuous, 0.0, (low + high) / 2)
    reach = np.where(contract.limits.continuous, 1.0, (high - low) / 4)
    return middle + reach * np.sin(times[:, None] + np.arange(contract.action_dim))


def plans(contract: Contract, pipeline: Pipeline, count: int = 12) -> Iterator[tuple[Plan, int]]:
    """The plans of a policy that wants this motion, each with its time [ns], and then that of a HOLD."""
    pipeline.start(wanted(contract, np.zeros(1))[0], NOW)
    steps = round(1.2 * contract.fps)
    for number in range(count):
        now_ns = NOW + number * REPLAN_NS + 60_000_000
        stamp_ns = now_ns - 60_000_000
        times = (stamp_ns - NOW) / 1e9 + np.arange(steps) / contract.fps
        plan = pipeline.add_chunk(Chunk(stamp_ns, contract.dt_ns, wanted(contract, times)), now_ns)
        assert plan is not None
        yield plan, now_ns
    held = pipeline.hold("test", now_ns + 50_000_000)
    assert held is not None
    yield held, now_ns + 50_000_000


@pytest.mark.parametrize("fps", [15.0, 50.0, 100.0])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_at_any_rate_gets_valid_messages_for_all_of_its_joints(layout: str, fps: float) -> None:
    contract = contract_of(layout, fps)
    defaults = {entry.name: entry.convert(entry.default) for entry in POLICY_PARAMETERS}
    # At 15 Hz the default of 0.5 s has too few knots to brake in, and says so at configure.
    settings = motion_settings(defaults | {"plan_horizon": 0.8}, contract)
    pipeline = Pipeline(contract.joints, contract.limits, contract.dt_ns, settings)
    limits = contract.limits
    for plan, now_ns in plans(contract, pipeline):
        assert (np.abs(plan.velocities) <= limits.velocity + 1e-9).all()
        assert (
            (plan.positions >= limits.position_min - 1e-9) & (plan.positions <= limits.position_max + 1e-9)
        ).all()
        messages = plan_messages(plan, contract)
        commanded = set()
        for controller in contract.controllers:
            if controller.type is ControllerType.PARALLEL_GRIPPER:
                assert controller.name not in messages
                commanded |= {*controller.joints}
                continue
            message = messages[controller.name]
            check_trajectory(message, controller, now_ns)
            assert list(message.joint_names) == [f"{joint}_motor" for joint in controller.joints]
            sent = np.array([point.positions for point in message.points])  # (K, A_c)
            np.testing.assert_allclose(
                sent * -0.5 + 0.125, plan.positions[:, contract.indices(controller)], atol=1e-9
            )
            commanded |= {*controller.joints}
        assert commanded == {*contract.joints}
    assert pipeline.clamped_knots == 0
    moved = np.abs(plan.positions[-1] - wanted(contract, np.zeros(1))[0])
    assert (moved > 1e-4).all(), contract.joints


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_observation_without_cameras_is_the_joints(layout: str) -> None:
    contract = contract_of(layout, 50.0)
    builder = ObservationBuilder(contract, n_obs_steps=2)
    with_states = np.arange(contract.action_dim, dtype=float)
    for k in range(20):
        builder.joints.push(NOW + k * 5_000_000, with_states, NOW + k * 5_000_000)
    observation = builder.build(NOW + 95_000_000)
    assert observation.images == {}
    np.testing.assert_array_equal(observation.state, np.stack([with_states, with_states]))
