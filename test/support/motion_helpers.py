# SPDX-License-Identifier: Apache-2.0
"""Limits, settings and checks that the tests of the motion path share."""

import numpy as np

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion import EnsembleMode, EnsembleSettings, MotionSettings, Pipeline, Plan

PERIOD_NS = 33_333_333
DT = PERIOD_NS * 1e-9
T0_NS = 1_790_000_000_000_000_000  # a real time: floats of this size cannot hold nanoseconds


def motion_limits(
    joints: int = 2, velocity: float = 2.5, acceleration: float = 8.0, jerk: float = np.inf
) -> Limits:
    return Limits(
        np.full(joints, -1.0),
        np.full(joints, 1.5),
        np.full(joints, velocity),
        np.full(joints, acceleration),
        np.full(joints, jerk),
    )


def ensemble_settings(joints: int = 2, **changes) -> EnsembleSettings:
    settings = {
        "mode": EnsembleMode.ACT,
        "temporal_ensemble_coeff": 0.01,
        "never_averaged": np.zeros(joints, bool),
        "max_disagreement": np.full(joints, np.inf),
        "coupling": np.zeros(joints, np.int64),
    }
    return EnsembleSettings(**(settings | changes))


def make_pipeline(joints: int = 2, limits: Limits | None = None, **changes) -> Pipeline:
    settings = {
        "ensemble": ensemble_settings(joints),
        "plan_horizon": 0.6,
        "fade_knots": 5,
        "soft_start": 0.5,
        "max_tracking_error": np.full(joints, np.inf),
    }
    names = tuple(f"joint_{i + 1}" for i in range(joints))
    return Pipeline(names, limits or motion_limits(joints), PERIOD_NS, MotionSettings(**(settings | changes)))


def dense(plan: Plan, step_ns: int = 1_000_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (N,), positions (N, A) and velocities (N, A) of the executed motion, every millisecond."""
    times_ns = np.arange(plan.times_ns[0], plan.times_ns[-1] + 1, step_ns)
    return times_ns, *plan.sample(times_ns)


def assert_executable(plan: Plan, limits: Limits) -> None:
    """The finely sampled motion keeps every limit and ends at rest; independent of check_plan."""
    times_ns, positions, velocities = dense(plan)
    assert (positions >= limits.position_min - 3e-5).all() and (positions <= limits.position_max + 3e-5).all()
    assert (np.abs(velocities) <= limits.velocity * (1 + 1e-6)).all()
    acceleration = np.diff(velocities, axis=0) / (np.diff(times_ns) * 1e-9)[:, None]
    if len(acceleration):
        assert (np.abs(acceleration) <= limits.acceleration * (1 + 1e-5) + 1e-3).all()
    assert not plan.velocities[-1].any()
