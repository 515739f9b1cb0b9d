# SPDX-License-Identifier: Apache-2.0
"""The motion path with the simulated robot, in lock-step and without ROS."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from motion_helpers import ensemble_settings

pytest.importorskip("mujoco", reason="MuJoCo is not installed (rosdep has no key for it)")

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.motion import Chunk, MotionSettings, Pipeline, Plan
from dit_policy_ros.sim.controllers import Point, Trajectory
from dit_policy_ros.sim.robot import STEP_NS, BimanualSim

CONTRACT = parse_contract(
    yaml.safe_load((Path(__file__).parents[2] / "config" / "bimanual.yaml").read_text())["/**"][
        "ros__parameters"
    ],
    "bimanual.yaml",
)
JOINTS = len(CONTRACT.joints)
STEPS = 31  # of a chunk: one second
EPOCH_NS = 1_790_000_000_000_000_000
REPLAN_NS, LATENCY_NS = 100_000_000, 80_000_000


class SimulatedMotion:
    """The simulated robot with a policy that wants the pose `wanted(t)` (14,) at t seconds after the start.

    commands: the commanded positions, one row per physics step from the first plan on, (N, 14).
    """

    def __init__(self, sim: BimanualSim, wanted: Callable[[float], np.ndarray]) -> None:
        self.sim, self._wanted = sim, wanted
        self.sim.epoch_ns = EPOCH_NS - sim.steps * STEP_NS
        settings = MotionSettings(
            ensemble=ensemble_settings(JOINTS, never_averaged=CONTRACT.gripper_mask),
            plan_horizon=0.5,
            fade_knots=5,
            soft_start=0.5,
            max_tracking_error=np.where(CONTRACT.gripper_mask, np.inf, 0.5),
        )
        self.pipeline = Pipeline(CONTRACT.joints, CONTRACT.limits, CONTRACT.dt_ns, settings)
        self.pipeline.start(sim.joint_positions, sim.time_ns)
        self._rows: list[np.ndarray] = []

    @property
    def commands(self) -> np.ndarray:
        return np.array(self._rows)

    def run(self, seconds: float) -> None:
        """The policy drives the robot for some seconds."""
        end_ns = self.sim.time_ns + round(seconds * 1e9)
        while self.sim.time_ns < end_ns:
            self.receive(self.sim.time_ns - LATENCY_NS)
            self.stand_by(REPLAN_NS * 1e-9)

    def receive(self, stamp_ns: int) -> None:
        """The policy's chunk for an observation of that stamp arrives."""
        times = (stamp_ns - EPOCH_NS) * 1e-9 + CONTRACT.dt * np.arange(STEPS)
        actions = np.array([self._wanted(max(t, 0.0)) for t in times])  # (T, 14)
        plan = self.pipeline.add_chunk(Chunk(stamp_ns, CONTRACT.dt_ns, actions), self.sim.time_ns)
        if plan is not None:
            self.send(plan)

    def hold(self, measured: np.ndarray | None) -> None:
        """Hold as the node does."""
        plan = self.pipeline.hold("test", self.sim.time_ns, measured)
        assert plan is not None
        self.send(plan)

    def send(self, plan: Plan) -> None:
        """Sends one message per controller; none may be rejected."""
        for controller in CONTRACT.controllers:
            columns = CONTRACT.indices(controller)
            points = tuple(
                Point(int(t - plan.times_ns[0]), tuple(p), tuple(v))
                for t, p, v in zip(
                    plan.times_ns, plan.positions[:, columns], plan.velocities[:, columns], strict=True
                )
            )
            message = Trajectory(int(plan.times_ns[0]), controller.joints, points)
            assert self.sim.controllers[controller.name].accept(message, self.sim.time_ns) is None

    def stand_by(self, seconds: float) -> None:
        """Simulates some seconds without sending anything."""
        for _ in range(round(seconds * 1e9 / STEP_NS)):
            self.sim.step()
            self._rows.append(self.sim.command)


def assert_commands_within_limits(commands: np.ndarray) -> None:
    """The commands (N, 14), one per physics step, keep the position, velocity and acceleration limits."""
    limits, dt = CONTRACT.limits, STEP_NS * 1e-9
    assert (commands >= limits.position_min - 3e-5).all() and (commands <= limits.position_max + 3e-5).all()
    velocities = np.diff(commands, axis=0) / dt
    assert (np.abs(velocities) <= limits.velocity * (1 + 1e-5) + 1e-6).all()
    accelerations = np.diff(velocities, axis=0) / dt
    # Differences of positions near 1 over (2 ms)^2 carry rounding of 1e-10.
    assert (np.abs(accelerations) <= limits.acceleration * (1 + 1e-4) + 1e-3).all()
