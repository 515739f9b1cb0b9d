# SPDX-License-Identifier: Apache-2.0
import itertools
from dataclasses import replace

import numpy as np
import pytest
from motion_helpers import DT, PERIOD_NS, T0_NS, make_pipeline, motion_limits

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.motion import Chunk, check_pacing
from dit_policy_ros.core.motion._pacing import LOWEST_SHARE

GOOD = {
    "latency_p95": 0.05,
    "chunk_duration": 1.0,
    "dt": 1 / 30,
    "fade_knots": 5,
    "replan_interval": 0.1,
    "plan_horizon": 0.5,
    "braking_time": 2.5 / 8.0,
}


def test_a_fast_policy_is_accepted():
    assert check_pacing(**GOOD) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"latency_p95": 1.3},
            r"too slow.*1.300 s.*1.533 s.*lasts 1.000 s.*num_inference_steps",
        ),
        ({"dt": 0.15}, r"chunks are too short.*1.000 s.*1.050 s.*fade_knots"),
        ({"latency_p95": float("nan")}, "a chunk would end before it can be used"),
        ({"latency_p95": 0.3}, r"end before the next one arrives.*0.667 s.*plan_horizon is 0.5 s"),
        ({"replan_interval": 0.45}, "end before the next one arrives"),
        (
            {"latency_p95": 0.2},
            r"slow down and speed up.*after 0.333 s.*0.200 s.*67% .* 0.208 s.*0.542 s.*plan_horizon is 0.5 s",
        ),
        ({"replan_interval": 0.2}, "slow down and speed up"),
        ({"braking_time": 0.5}, "slow down and speed up"),
    ],
)
def test_a_policy_that_is_too_slow_is_refused_with_the_figures(changes, message):
    with pytest.raises(DitPolicyError, match=message):
        check_pacing(**(GOOD | changes))


def executed_speeds(speed: float, acceleration: float, interval: float, phase: float, horizon: float):
    """Speeds (N,) every millisecond of a joint that is asked to turn evenly, without the first seconds."""
    limits = motion_limits(1, speed / LOWEST_SHARE, acceleration)
    endless = {"position_min": np.array([-np.inf]), "position_max": np.array([np.inf])}
    pipeline = make_pipeline(1, replace(limits, **endless), plan_horizon=horizon)
    pipeline.start(np.zeros(1), T0_NS)
    plans = []
    for k in range(round(25.0 / interval)):
        stamp_ns = T0_NS + round((k * interval + phase) * 1e9)
        now_ns = stamp_ns + round(interval * 1e9)
        times = (stamp_ns - T0_NS) * 1e-9 + DT * np.arange(61)  # (61,)
        chunk = Chunk(stamp_ns, PERIOD_NS, (speed * times)[:, None])
        plans.append((now_ns, pipeline.add_chunk(chunk, now_ns)))
    speeds = [plan.sample(np.arange(a, b, 1_000_000))[1] for (a, plan), (b, _) in itertools.pairwise(plans)]
    return np.concatenate(speeds)[20_000:, 0]


@pytest.mark.parametrize("phase", [0.0, 0.007, 0.019, 0.029])
@pytest.mark.parametrize(
    ("limit", "acceleration", "horizon"),
    [(2.5, 8.0, 0.5), (3.0, 10.0, 0.5), (2.5, 8.0, 0.55), (0.8, 2.0, 0.65)],
)
def test_an_accepted_latency_keeps_up_the_speed_and_a_longer_one_is_refused(
    limit, acceleration, horizon, phase
):
    braking_time = limit / acceleration  # [s]
    slowest = horizon - 4 * DT - LOWEST_SHARE * braking_time  # [s]
    settings = GOOD | {"chunk_duration": 2.0, "plan_horizon": horizon, "braking_time": braking_time}
    latency = min(slowest, (horizon - 2 * DT) / 2.0) - 1e-6  # [s] above the latter the plan would end
    check_pacing(**(settings | {"latency_p95": latency}))
    speeds = executed_speeds(LOWEST_SHARE * limit, acceleration, latency, phase, horizon)
    np.testing.assert_allclose(speeds, LOWEST_SHARE * limit, rtol=0.02)
    with pytest.raises(DitPolicyError):
        check_pacing(**(settings | {"latency_p95": slowest + 0.02}))


def test_a_speed_that_cannot_be_kept_up_is_said():
    (advice,) = check_pacing(**(GOOD | {"chunk_duration": 0.45}))
    assert "ends 0.400 s after it is made (its chunk ends then)" in advice and "53% of their" in advice
    (advice,) = check_pacing(**(GOOD | {"latency_p95": 0.14}))
    assert "plan_horizon is 0.5 s" in advice and "73% of their velocity limits" in advice
