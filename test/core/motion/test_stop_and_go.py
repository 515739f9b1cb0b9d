# SPDX-License-Identifier: Apache-2.0
"""Stop-and-go with a latency of two seconds: observe at rest, infer, execute the chunk, stop."""

import itertools

import numpy as np
import pytest
from motion_helpers import PERIOD_NS, T0_NS, assert_executable, make_pipeline

from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import Chunk, MotionState, Pacing

LATENCY_NS = 2_000_000_000
TICK_NS = 20_000_000
STEPS = 31  # of a chunk: one second


def started(**changes):
    pipeline = make_pipeline(pacing=Pacing.STOP_AND_GO, **({"soft_start": 0.0} | changes))
    pipeline.start(np.zeros(2), T0_NS)
    return pipeline


def onwards(start: np.ndarray, stamp_ns: int) -> Chunk:
    """One second of slow motion by 0.2 rad that begins and ends at rest."""
    u = np.arange(STEPS)[:, None] / (STEPS - 1)  # (T, 1)
    return Chunk(stamp_ns, PERIOD_NS, start + 0.2 * (3 * u**2 - 2 * u**3))


def cycle(pipeline, now_ns: int):
    """Wait for rest, observe, infer, move. Returns the end, the first pose and the plans that were sent."""
    while not pipeline.accepts_observation(now_ns):
        now_ns += TICK_NS
    pose, velocity = pipeline.plan.sample_at(now_ns)
    assert not velocity.any(), "the observation must be made at rest"
    chunk = onwards(pose, now_ns)
    now_ns += LATENCY_NS
    plans = [(now_ns, pipeline.add_chunk(chunk, now_ns))]
    while not pipeline.accepts_observation(now_ns):
        now_ns += TICK_NS
        plan = pipeline.extend(now_ns)
        if plan is not None:
            plans.append((now_ns, plan))
    return now_ns, pose, plans


def test_a_policy_with_two_seconds_latency_executes_whole_chunks_within_the_plan_horizon():
    pipeline, now_ns = started(), T0_NS
    for _ in range(3):
        now_ns, pose, plans = cycle(pipeline, now_ns)
        assert len(plans) >= 3, "a chunk of one second needs several plans"
        for sent_ns, plan in plans:
            assert_executable(plan, pipeline.limits)
            assert plan.times_ns[0] <= sent_ns < plan.end_ns <= sent_ns + 600_000_000
        np.testing.assert_allclose(pipeline.plan.positions[-1], pose + 0.2, atol=3e-3)
        assert not pipeline.starved(now_ns + 10 * LATENCY_NS), "waiting for the inference is no starvation"
    assert pipeline.plans >= 9 and pipeline.expired_chunks == 0


def test_the_plans_of_one_chunk_join_without_changing_what_is_executed():
    pipeline = started()
    _, _, plans = cycle(pipeline, T0_NS)
    for (_, old), (sent_ns, new) in itertools.pairwise(plans):
        times_ns = sent_ns + np.linspace(0, 2 * PERIOD_NS, 40).astype(np.int64)
        np.testing.assert_allclose(new.sample(times_ns)[0], old.sample(times_ns)[0], atol=1e-9)


def test_no_observation_is_accepted_while_the_arms_move():
    pipeline = started()
    assert pipeline.accepts_observation(T0_NS)
    plan = pipeline.add_chunk(onwards(np.zeros(2), T0_NS), T0_NS + LATENCY_NS)
    assert not pipeline.accepts_observation(T0_NS + LATENCY_NS)
    assert not pipeline.accepts_observation(plan.end_ns - 1), "not even one from just before they stopped"


def test_the_next_chunk_is_awaited_once_the_arms_rest():
    pipeline = started()
    assert pipeline.awaits_chunk(T0_NS)
    plan = pipeline.add_chunk(onwards(np.zeros(2), T0_NS), T0_NS + LATENCY_NS)
    assert not pipeline.awaits_chunk(plan.end_ns - 1) and pipeline.awaits_chunk(plan.end_ns)
    brake = pipeline.hold("a test", T0_NS + LATENCY_NS + 100_000_000)
    assert not pipeline.awaits_chunk(brake.end_ns)


def test_the_next_part_of_a_chunk_is_due_when_half_the_plan_horizon_is_left():
    pipeline = started()
    plan = pipeline.add_chunk(onwards(np.zeros(2), T0_NS), T0_NS + LATENCY_NS)
    assert pipeline.extend(plan.end_ns - 300_000_001) is None
    assert pipeline.extend(plan.end_ns - 300_000_000) is not None


def test_a_new_task_ends_the_motion_with_the_active_plan():
    pipeline = started()
    plan = pipeline.add_chunk(onwards(np.zeros(2), T0_NS), T0_NS + LATENCY_NS)
    pipeline.change_task()
    assert pipeline.extend(plan.end_ns - 200_000_000) is None
    assert pipeline.accepts_observation(plan.end_ns)


def test_arms_at_rest_do_not_move_again_without_a_new_chunk():
    pipeline = started()
    plan = pipeline.add_chunk(onwards(np.zeros(2), T0_NS), T0_NS + LATENCY_NS)
    assert pipeline.extend(plan.end_ns) is None


def test_a_hold_ends_the_execution_of_a_chunk():
    pipeline = started()
    plan = pipeline.add_chunk(onwards(np.zeros(2), T0_NS), T0_NS + LATENCY_NS)
    pipeline.hold("e-stop", T0_NS + LATENCY_NS + 100_000_000)
    assert pipeline.extend(plan.end_ns - 100_000_000) is None
    assert pipeline.state is MotionState.HOLD


def test_a_chunk_that_is_not_finite_is_refused():
    with pytest.raises(PlanRejected, match="not finite"):
        started().add_chunk(Chunk(T0_NS, PERIOD_NS, np.full((STEPS, 2), np.nan)), T0_NS + LATENCY_NS)


def test_continuous_motion_is_never_extended():
    pipeline = make_pipeline()
    pipeline.start(np.zeros(2), T0_NS)
    plan = pipeline.add_chunk(onwards(np.zeros(2), T0_NS), T0_NS)
    assert pipeline.extend(plan.end_ns - 100_000_000) is None
    assert pipeline.accepts_observation(T0_NS)
    assert pipeline.starved(plan.end_ns) and not pipeline.starved(plan.end_ns - 1)
