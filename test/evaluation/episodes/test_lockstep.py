# SPDX-License-Identifier: Apache-2.0
"""Policies in lock-step: what they observe, what is executed and when. The seed decides everything."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.motion import Continuation, MotionState
from dit_policy_ros.core.policy_interface import VectorInput
from dit_policy_ros.evaluation.episodes import NodeActor, PolicyActor, node_settings
from dit_policy_ros.evaluation.episodes._policy_actor import ObservationHistory
from dit_policy_ros.evaluation.session import config_path
from dit_policy_ros.sim.robot import HOME, JOINTS, STEP_NS, BimanualSim

FPS = 30
WRIST = 5  # the joint that the policies here move


class RampPolicy:
    """A policy without cameras that moves one joint along a ramp from its present position, for any task."""

    description, device, fps, joint_names = "ramp", "cpu", 30.0, JOINTS
    action_names = JOINTS
    known_tasks: tuple[str, ...] = ()
    vectors = ()
    image_shapes: Mapping[str, tuple[int, int]] = {}
    state_dim = action_dim = len(JOINTS)
    n_obs_steps, horizon = 2, 25

    def __init__(self, ramp: float, uses_previous: bool = False) -> None:
        self.ramp, self.uses_previous = ramp, uses_previous  # [rad per step]
        self.previous: list[Continuation | None] = []
        self.observed: list[tuple[np.ndarray, str]] = []
        self.seeds: list[int] = []

    def seed_sampling(self, seed: int) -> None:
        self.seeds.append(seed)

    def predict(self, images, state, task, noise=None, previous=None) -> np.ndarray:
        assert images == {} and state.shape == (2, 14) and state.dtype == np.float32
        self.observed.append((state, task))
        self.previous.append(previous)
        chunk = np.repeat(state[-1:], self.horizon - 1, axis=0)
        chunk[:, WRIST] += self.ramp * np.arange(self.horizon - 1)
        return chunk.astype(np.float32)


def run_periods(act: Callable[[BimanualSim], np.ndarray], periods: int) -> np.ndarray:
    """The joint's targets over a number of periods (periods,) [rad]."""
    targets = []
    with BimanualSim(3) as sim:
        sim.reset(seed=3)
        for period in range(periods):
            targets.append(act(sim))
            ahead_ns = round((period + 1) * 1e9 / FPS) - (sim.time_ns - sim.epoch_ns)
            sim.step_towards(targets[-1], max(1, round(ahead_ns / STEP_NS)))
    return np.array(targets)[:, WRIST]


@pytest.mark.parametrize("execute", [1, 5])
def test_a_chunk_is_executed_from_its_second_row_for_execute_steps(execute: int) -> None:
    policy = RampPolicy(0.01)
    run_periods(PolicyActor(policy, "wave", execute), 15)
    assert len(policy.observed) == 15 // execute
    assert np.array_equal(policy.observed[0][0][0], policy.observed[0][0][1]), (
        "without a past, the first observation is repeated"
    )
    moved = policy.observed[1][0][-1, WRIST] - policy.observed[0][0][-1, WRIST]
    assert 0.0 < moved <= 0.01 * execute + 1e-3
    np.testing.assert_allclose(policy.observed[0][0][-1], HOME, atol=0.06)
    assert {task for _, task in policy.observed} == {"wave"}


def node(latency: float, seed: int = 1, **changes) -> tuple[NodeActor, RampPolicy]:
    policy = RampPolicy(0.01)
    settings = node_settings(config_path(), {"soft_start": 0.0, **changes})
    return NodeActor(policy, "wave", settings, latency, seed), policy


@pytest.mark.parametrize("latency", [0.0, 0.1, 0.3])
def test_the_node_moves_when_its_first_chunk_is_available(latency: float) -> None:
    actor, policy = node(latency)
    targets = run_periods(actor, 30)
    first = int(np.flatnonzero(np.abs(np.diff(targets)) > 1e-4)[0])
    # Nothing moves before the chunk is available, and two more knots are frozen then.
    assert round(latency * FPS) <= first <= round(latency * FPS) + 4
    assert targets[-1] > targets[0] + 0.05, "and it keeps moving"
    assert actor.pipeline.state is MotionState.RUNNING and actor.pipeline.holds == 0
    between = max(latency, 0.1)  # [s] replan_interval
    assert len(policy.observed) == pytest.approx(1.0 / between, abs=1.1)
    assert len(actor.velocities) == 30


def test_a_node_whose_inference_is_too_slow_holds() -> None:
    actor, _ = node(0.6)
    targets = run_periods(actor, 45)
    assert actor.pipeline.state is MotionState.HOLD and "in time" in actor.pipeline.hold_reason
    assert targets[-1] == targets[-2], "at rest"


def test_a_policy_that_continues_its_last_chunk_gets_it() -> None:
    settings = node_settings(config_path(), {"soft_start": 0.0})
    without, policy = RampPolicy(0.01), RampPolicy(0.01, uses_previous=True)
    for each in (without, policy):
        run_periods(NodeActor(each, "wave", settings, 0.1, 1), 30)
    assert set(without.previous) == {None}
    assert policy.previous[0] is None and len(policy.previous) > 3
    for previous in policy.previous[1:]:
        assert previous is not None and previous.actions.shape == (policy.horizon, len(JOINTS))
        # Row 0 lies one step before the observation; then come latency and two frozen steps, all committed.
        # Without a soft start the arms are a few rows behind at first, and then hurry.
        assert 1 + 1 + 2 <= previous.committed <= 1 + 1 + 3 + 2 + 1
        assert np.isfinite(previous.actions[: previous.committed]).all()
        assert np.isnan(previous.actions[-1]).all(), "the last chunk ends before the next one does"
    assert policy.previous[-1].committed == 1 + 1 + 3 + 2, "once they move, they are in time"


def test_the_seed_decides_the_outcome() -> None:
    (first, one), (again, same), (_, other) = node(0.1), node(0.1), node(0.1, seed=2)
    assert np.array_equal(run_periods(first, 20), run_periods(again, 20)) and one.seeds == same.seeds
    run_periods(node(0.1, seed=2)[0], 1)
    assert len(set(one.seeds)) == len(one.seeds) and not set(one.seeds) & set(other.seeds)


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(ParameterError, match=r"no parameter ensemble\.mod; it has .*ensemble\.mode"):
        node_settings(config_path(), {"ensemble.mod": "act"})


def test_a_policys_vectors_follow_the_joints_in_its_state() -> None:
    policy = RampPolicy(0.0)
    policy.vectors = (VectorInput("effort", len(JOINTS)),)
    history = ObservationHistory(policy)
    with BimanualSim(3) as sim:
        history.observe(sim)
        sim.step(50)
        history.observe(sim)
        expected = np.concatenate([sim.joint_positions, sim.joint_efforts])
    assert history.state.shape == (2, 2 * len(JOINTS)) and history.state.dtype == np.float32
    np.testing.assert_allclose(history.state[-1], expected, rtol=1e-6)
