# SPDX-License-Identifier: Apache-2.0
"""The policy node's planning in lock-step with the simulation, on a computer whose latency is chosen.

Chunks go through the same code as in policy_node (ensembling, splicing, limits); only the computer's timing
is simulated. So the seed alone decides what happens, and comparisons do not depend on the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dit_policy_ros.core.contract import NANOSECONDS, Contract, parse_contract
from dit_policy_ros.core.errors import ParameterError, PlanRejected
from dit_policy_ros.core.incidents import predict_seeded
from dit_policy_ros.core.motion import (
    FROZEN_INTERVALS,
    Chunk,
    Continuation,
    MotionState,
    Pipeline,
)
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.evaluation.episodes._policy_actor import ObservationHistory
from dit_policy_ros.ros.policy import POLICY_PARAMETERS, motion_settings
from dit_policy_ros.sim.robot import BimanualSim


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """A policy node's contract, and all its parameters by name."""

    contract: Contract
    parameters: Mapping[str, Any]


def node_settings(path: Path, changes: Mapping[str, Any]) -> NodeSettings:
    """Read a parameter file as policy_node does.

    Args:
        path: the file.
        changes: parameters that override the file, by name.

    Raises:
        ParameterError: the node has no such parameter.
        ContractError: the contract is wrong.
    """
    content = yaml.safe_load(path.read_text())
    defaults = {parameter.name: parameter.default for parameter in POLICY_PARAMETERS}
    given = _flatten(content["/policy"]["ros__parameters"]) | dict(changes)
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ParameterError(
            f"policy_node has no parameter {', '.join(unknown)}; it has {', '.join(sorted(defaults))}"
        )
    return NodeSettings(parse_contract(content["/**"]["ros__parameters"], str(path)), defaults | given)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


class NodeActor:
    """A policy node that drives the robot for one episode; call it once per period of the policy.

    Args:
        policy: predicts.
        instruction: the task.
        settings: the node's contract and parameters.
        latency: from an observation until its chunk is available [s]; rounded to whole periods.
        seed: of the sampling noise.

    Attributes:
        pipeline: the node's motion pipeline.
        velocities: per period the stamp [ns] and the arm joints' velocities [rad/s].
    """

    def __init__(
        self, policy: Policy, instruction: str, settings: NodeSettings, latency: float, seed: int
    ) -> None:
        contract, self._policy = settings.contract, policy
        self._instruction, self._latency_ns = instruction, round(latency * NANOSECONDS)
        self._period_ns = contract.dt_ns
        self._history_ns = (policy.n_obs_steps - 1) * contract.dt_ns
        interval_ns = round(settings.parameters["replan_interval"] * NANOSECONDS)
        self._interval_ns = interval_ns - self._period_ns // 2  # as in the node's inference worker
        self.pipeline = Pipeline(
            contract.joints, contract.limits, contract.dt_ns, motion_settings(settings.parameters, contract)
        )
        self._seeds = np.random.default_rng(seed)
        self._history = ObservationHistory(policy)
        self._pending: tuple[int, Chunk] | None = None  # when it becomes available [ns], and the chunk
        self._newest: Chunk | None = None
        self._inferred_ns: int | None = None  # when the last inference began [ns]
        self.velocities: list[tuple[int, list[float]]] = []
        self._is_arm = ~contract.gripper_mask  # (A,)

    def __call__(self, sim: BimanualSim) -> np.ndarray:
        """The joint target (14,) [rad], [m] for the next period."""
        now_ns = sim.time_ns
        if self._inferred_ns is None:
            self.pipeline.start(sim.joint_positions, now_ns)
        self._history.observe(sim)
        self.velocities.append((now_ns, sim.joint_velocities[self._is_arm].tolist()))
        self._take_chunk(now_ns)
        if self._pending is None and self._is_inference_due(now_ns):
            self._infer(now_ns)
            self._take_chunk(now_ns)
        if self.pipeline.state is MotionState.RUNNING:
            self._plan_or_hold(self.pipeline.extend, now_ns)
            if self.pipeline.starved(now_ns):
                self.pipeline.hold("no new plan came in time", now_ns, sim.joint_positions)
        return self.pipeline.plan.sample_at(now_ns + self._period_ns)[0]

    def _is_inference_due(self, now_ns: int) -> bool:
        waited = self._inferred_ns is None or now_ns - self._inferred_ns >= self._interval_ns
        holds = self.pipeline.state is MotionState.HOLD
        return waited and not holds and self.pipeline.accepts_observation(now_ns - self._history_ns)

    def _infer(self, now_ns: int) -> None:
        history, seed = self._history, int(self._seeds.integers(2**63))
        previous = self._previous(now_ns) if self._policy.uses_previous else None
        actions = predict_seeded(
            self._policy, history.images, history.state, self._instruction, seed, previous
        )  # (T, A)
        self._pending = now_ns + self._latency_ns, Chunk(now_ns, self._period_ns, actions.astype(float))
        self._inferred_ns = now_ns

    def _previous(self, now_ns: int) -> Continuation | None:
        """The chunk that the next one continues, as the node's inference worker computes it."""
        if self._newest is None:
            return None
        first_ns = now_ns - self._history_ns
        committed_ns = now_ns + self._latency_ns + FROZEN_INTERVALS * self._period_ns
        return self.pipeline.continuation(self._newest, first_ns, now_ns, self._policy.horizon, committed_ns)

    def _take_chunk(self, now_ns: int) -> None:
        if self._pending is not None and self._pending[0] <= now_ns:
            chunk, self._pending = self._pending[1], None
            self._newest = chunk
            self._plan_or_hold(self.pipeline.add_chunk, chunk, now_ns)

    def _plan_or_hold(self, make_plan: Any, *arguments: Any) -> None:
        try:
            make_plan(*arguments)
        except PlanRejected as error:
            self.pipeline.hold(f"plan rejected: {error}", arguments[-1])
