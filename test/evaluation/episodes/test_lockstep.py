# SPDX-License-Identifier: Apache-2.0
"""Policies in lock-step: what they are shown, what is executed, when, and that a seed is an outcome."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.motion import Continuation, MotionState
from dit_policy_ros.evaluation.episodes import NodeActor, PolicyActor, node_settings
from dit_policy_ros.evaluation.session import config_path
from dit_policy_ros.sim.robot import HOME, JOINTS, STEP_NS, BimanualSim

FPS = 30
WRIST = 5  # the joint that the policies here move


class Blind:
    """A policy without cameras that moves one joint by a ramp from where it is, whatever it is told."""

    description, device, fps, joint_names = "blind", "cpu", 30.0, JOINTS
    known_tasks: tuple[str, ...] = ()
    image_shapes: Mapping[str, tuple[int, int]] = {}
    state_dim = action_dim = len(JOINTS)
    n_obs_steps, horizon = 2, 25

    def __init__(self, ramp: float, uses_previous: bool = False) -> None:
        self.ramp, self.uses_previous = ramp, uses_previous  # [rad per step]
        self.known: list[Continuation | None] = []
        self.seen: list[tuple[np.ndarray, str]] = []
        self.seeds: list[int] = []

    def seed_sampling(self, seed: int) -> None:
        self.seeds.append(seed)

    def predict(self, images, state, task, noise=None, previous=None) -> np.ndarray:
        assert images == {} and state.shape == (2, 14) and state.dtype == np.float32
        self.seen.append((state, task))
        self.known.append(previous)
        chunk = np.repeat(state[-1:], self.horizon - 1, axis=0)
        chunk[:, WRIST] += self.ramp * np.arange(self.horizon - 1)
        return chunk.astype(np.float32)


def carried_out(act: Callable[[BimanualSim], np.ndarray], periods: int) -> np.ndarray:
    """The joint's targets of so many periods (periods,)."""
    targets = []
    with BimanualSim(3) as sim:
        sim.reset(seed=3)
        for period in range(periods):
            targets.append(act(sim))
            ahead_ns = round((period + 1) * 1e9 / FPS) - (sim.time_ns - sim.epoch_ns)
            sim.step_towards(targets[-1], max(1, round(ahead_ns / STEP_NS)))
    return np.array(targets)[:, WRIST]


@pytest.mark.parametrize("execute", [1, 5])
def test_a_chunk_is_executed_from_its_second_row_for_as_long_as_asked(execute: int) -> None:
    policy = Blind(0.01)
    carried_out(PolicyActor(policy, "wave", execute), 15)
    assert len(policy.seen) == 15 // execute
    assert np.array_equal(policy.seen[0][0][0], policy.seen[0][0][1]), (
        "before there is a past the present repeats"
    )
    moved = policy.seen[1][0][-1, WRIST] - policy.seen[0][0][-1, WRIST]
    assert 0.0 < moved <= 0.01 * execute + 1e-3
    np.testing.assert_allclose(policy.seen[0][0][-1], HOME, atol=0.06)
    assert {task for _, task in policy.seen} == {"wave"}


def node(latency: float, seed: int = 1, **changes) -> tuple[NodeActor, Blind]:
    policy = Blind(0.01)
    settings = node_settings(config_path(), {"soft_start": 0.0, **changes})
    return NodeActor(policy, "wave", settings, latency, seed), policy


@pytest.mark.parametrize("latency", [0.0, 0.1, 0.3])
def test_the_node_moves_once_its_computer_has_inferred(latency: float) -> None:
    actor, policy = node(latency)
    targets = carried_out(actor, 30)
    first = int(np.flatnonzero(np.abs(np.diff(targets)) > 1e-4)[0])
    # Nothing moves before the chunk is there, and then two knots more are frozen.
    assert round(latency * FPS) <= first <= round(latency * FPS) + 4
    assert targets[-1] > targets[0] + 0.05, "and then it goes on"
    assert actor.pipeline.state is MotionState.RUNNING and actor.pipeline.holds == 0
    between = max(latency, 0.1)  # [s] replan_interval
    assert len(policy.seen) == pytest.approx(1.0 / between, abs=1.1)
    assert len(actor.velocities) == 30


def test_a_node_too_slow_for_its_plans_holds() -> None:
    actor, _ = node(0.6)
    targets = carried_out(actor, 45)
    assert actor.pipeline.state is MotionState.HOLD and "in time" in actor.pipeline.hold_reason
    assert targets[-1] == targets[-2], "at rest"


def test_a_policy_that_goes_on_from_its_last_chunk_is_given_it() -> None:
    settings = node_settings(config_path(), {"soft_start": 0.0})
    without, policy = Blind(0.01), Blind(0.01, uses_previous=True)
    for each in (without, policy):
        carried_out(NodeActor(each, "wave", settings, 0.1, 1), 30)
    assert set(without.known) == {None}
    assert policy.known[0] is None and len(policy.known) > 3
    for known in policy.known[1:]:
        assert known is not None and known.actions.shape == (policy.horizon, len(JOINTS))
        # Row 0 lies one step before the observation; then come latency and two frozen steps, all committed.
        assert known.committed == 1 + 1 + 3 + 2
        assert np.isfinite(known.actions[: known.committed]).all()
        assert np.isnan(known.actions[-1]).all(), "the last chunk ends before the next one does"


def test_a_seed_is_an_outcome() -> None:
    (first, one), (again, same), (_, other) = node(0.1), node(0.1), node(0.1, seed=2)
    assert np.array_equal(carried_out(first, 20), carried_out(again, 20)) and one.seeds == same.seeds
    carried_out(node(0.1, seed=2)[0], 1)
    assert len(set(one.seeds)) == len(one.seeds) and not set(one.seeds) & set(other.seeds)


def test_a_parameter_that_the_node_lacks_is_named() -> None:
    with pytest.raises(ParameterError, match=r"no parameter ensemble\.mod; it has .*ensemble\.mode"):
        node_settings(config_path(), {"ensemble.mod": "act"})
