# SPDX-License-Identifier: Apache-2.0
"""The policy node in lock-step: its own planning, fed by the simulation, on a computer of a given latency.

What policy_node does to chunks (ensembling, splicing, limits) is done here by the same code; what its
computer does to time is chosen. So a seed is an outcome, and comparisons do not depend on the machine.
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
    continuation,
)
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.evaluation.episodes._lockstep import History
from dit_policy_ros.ros.policy import POLICY_PARAMETERS, motion_settings
from dit_policy_ros.sim.robot import BimanualSim


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """A node's contract and parameters by name, as its file of parameters and the changes to it say."""

    contract: Contract
    parameters: Mapping[str, Any]


def node_settings(path: Path, changes: Mapping[str, Any]) -> NodeSettings:
    """Read a file of parameters as policy_node would.

    Raises:
        ParameterError: the node has no such parameter.
        ContractError: the contract is wrong.
    """
    content = yaml.safe_load(path.read_text())
    known = {parameter.name: parameter.default for parameter in POLICY_PARAMETERS}
    given = _flat(content["/policy"]["ros__parameters"]) | dict(changes)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ParameterError(
            f"policy_node has no parameter {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    return NodeSettings(parse_contract(content["/**"]["ros__parameters"], str(path)), known | given)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


class NodeActor:
    """One episode of a policy node; called once per period of the policy.

    Args:
        policy: what it runs.
        instruction: what it is told.
        settings: its contract and parameters.
        latency: from an observation until its chunk is there [s]; whole periods count.
        seed: of the sampling noise.
    """

    def __init__(
        self, policy: Policy, instruction: str, settings: NodeSettings, latency: float, seed: int
    ) -> None:
        contract, self._policy = settings.contract, policy
        self._instruction, self._latency_ns = instruction, round(latency * NANOSECONDS)
        self._period_ns = contract.dt_ns
        self._history_ns = (policy.n_obs_steps - 1) * contract.dt_ns
        interval_ns = round(settings.parameters["replan_interval"] * NANOSECONDS)
        self._interval_ns = interval_ns - self._period_ns // 2  # as the node's inference worker
        self.pipeline = Pipeline(
            contract.joints, contract.limits, contract.dt_ns, motion_settings(settings.parameters, contract)
        )
        self._seeds = np.random.default_rng(seed)
        self._history = History(policy)
        self._under_way: tuple[int, Chunk] | None = None  # due [ns]
        self._newest: Chunk | None = None
        self._began_ns: int | None = None
        self.velocities: list[tuple[int, list[float]]] = []  # stamp [ns], of the arm joints [rad/s]
        self._arms = ~contract.gripper_mask  # (A,)

    def __call__(self, sim: BimanualSim) -> np.ndarray:
        """The joint target (14,) [rad], [m] for the next period."""
        now_ns = sim.time_ns
        if self._began_ns is None:
            self.pipeline.start(sim.joint_positions, now_ns)
        self._history.observe(sim)
        self.velocities.append((now_ns, sim.joint_velocities[self._arms].tolist()))
        self._take_chunk(now_ns)
        if self._under_way is None and self._is_due(now_ns):
            self._infer(now_ns)
            self._take_chunk(now_ns)
        if self.pipeline.state is MotionState.RUNNING:
            self._guarded(self.pipeline.extend, now_ns)
            if self.pipeline.starved(now_ns):
                self.pipeline.hold("no new plan came in time", now_ns, sim.joint_positions)
        return self.pipeline.plan.sample_at(now_ns + self._period_ns)[0]

    def _is_due(self, now_ns: int) -> bool:
        rested = self._began_ns is None or now_ns - self._began_ns >= self._interval_ns
        holds = self.pipeline.state is MotionState.HOLD
        return rested and not holds and self.pipeline.accepts_observation(now_ns - self._history_ns)

    def _infer(self, now_ns: int) -> None:
        history, seed = self._history, int(self._seeds.integers(2**63))
        known = self._known(now_ns) if self._policy.uses_previous else None
        actions = predict_seeded(self._policy, history.images, history.state, self._instruction, seed, known)
        self._under_way = now_ns + self._latency_ns, Chunk(now_ns, self._period_ns, actions.astype(float))
        self._began_ns = now_ns

    def _known(self, now_ns: int) -> Continuation | None:
        """What the next sample goes on from, as the node's inference worker says it."""
        if self._newest is None:
            return None
        first_ns = now_ns - self._history_ns
        committed_ns = now_ns + self._latency_ns + FROZEN_INTERVALS * self._period_ns
        return continuation(self._newest, self.pipeline.plan, first_ns, self._policy.horizon, committed_ns)

    def _take_chunk(self, now_ns: int) -> None:
        if self._under_way is not None and self._under_way[0] <= now_ns:
            chunk, self._under_way = self._under_way[1], None
            self._newest = chunk
            self._guarded(self.pipeline.add_chunk, chunk, now_ns)

    def _guarded(self, make_plan: Any, *arguments: Any) -> None:
        try:
            make_plan(*arguments)
        except PlanRejected as error:
            self.pipeline.hold(f"plan rejected: {error}", arguments[-1])
