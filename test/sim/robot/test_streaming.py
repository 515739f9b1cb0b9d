# SPDX-License-Identifier: Apache-2.0
"""Plans that arrive after a varying latency, executed by the controllers of each release."""

import numpy as np
import pytest
from simulated_motion import (
    CONTRACT,
    LATENCY_NS,
    REPLAN_NS,
    SimulatedMotion,
    assert_commands_within_limits,
)

from dit_policy_ros.sim.controllers import ControllerRelease, ControllerSettings
from dit_policy_ros.sim.robot import HOME, STEP_NS, BimanualSim

HUMBLE, JAZZY, KILTED, ROLLING = ControllerRelease
REPLACING = [ControllerSettings(release) for release in (HUMBLE, JAZZY, KILTED)]
REPLACING += [ControllerSettings(ROLLING, allow_trajectory_replacement=False)]
JOINING = ControllerSettings(ROLLING)
CHUNKS = 25
LATENCIES = {
    "constant": np.full(CHUNKS, LATENCY_NS),
    "jittering": np.random.default_rng(0).integers(60_000_000, 120_000_001, CHUNKS),
}  # (CHUNKS,) [ns]


def swaying(t: float) -> np.ndarray:
    """Both arms sway about home by 0.2 rad, (14,)."""
    pose = HOME.copy()
    pose[[0, 1, 7, 9]] += 0.2 * np.sin(2 * np.pi * 0.4 * t)
    return pose


def stream(settings: ControllerSettings, latencies: np.ndarray) -> np.ndarray:
    """Commands (N, 14) of the robot, one row per physics step. A chunk is for every REPLAN_NS."""
    with BimanualSim(seed=0, controllers=settings) as sim:
        motion = SimulatedMotion(sim, swaying)
        begin_ns = sim.time_ns
        for number, latency in enumerate(latencies.tolist()):
            stamp_ns = begin_ns + number * REPLAN_NS
            motion.stand_by((stamp_ns + latency - sim.time_ns) * 1e-9)
            motion.receive(stamp_ns)
        motion.stand_by(1.0)
        return motion.commands


@pytest.mark.parametrize("latencies", LATENCIES.values(), ids=LATENCIES)
@pytest.mark.parametrize("settings", REPLACING, ids=lambda settings: settings.release)
def test_replaced_plans_are_executed_within_the_limits(settings, latencies):
    commands = stream(settings, latencies)
    assert np.ptp(commands[:, 0]) > 0.3, "the arm must be moving"
    assert_commands_within_limits(commands)


def test_joined_plans_break_the_limits_when_the_latency_varies():
    """Why preflight requires allow_trajectory_replacement: false; and that the test above can fail."""
    commands = stream(JOINING, LATENCIES["jittering"])
    accelerations = np.diff(commands, 2, axis=0) / (STEP_NS * 1e-9) ** 2  # (N - 2, 14)
    assert (np.abs(accelerations) / CONTRACT.limits.acceleration).max() > 20
