# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_helpers import (
    DT,
    PERIOD_NS,
    T0_NS,
    assert_executable,
    ensemble_settings,
    make_pipeline,
    motion_limits,
)

from dit_policy_ros.core.errors import ContractError, PlanRejected
from dit_policy_ros.core.motion import Chunk, MotionState, Plan, check_plan

HORIZON = 31


def wave(stamp_ns: int, noise: float = 0.0, seed: int = 0) -> Chunk:
    times = (stamp_ns - T0_NS) * 1e-9 + DT * np.arange(HORIZON)
    actions = 0.3 * np.sin(2 * np.pi * 0.4 * times)[:, None] * np.ones((1, 2))
    return Chunk(stamp_ns, PERIOD_NS, actions + np.random.default_rng(seed).normal(0.0, noise, (1, 2)))


def started(**changes):
    pipeline = make_pipeline(**changes)
    pipeline.start(np.zeros(2), T0_NS)
    return pipeline


def run(pipeline, seconds: float, noise: float, latency: float = 0.08, interval: float = 0.2):
    """Add chunks at an interval; yields (now, active plan before, active plan after)."""
    for i in range(round(seconds / interval)):
        stamp_ns = T0_NS + round(i * interval * 1e9)
        now_ns = stamp_ns + round(latency * 1e9)
        before = pipeline.plan
        plan = pipeline.add_chunk(wave(stamp_ns, noise, seed=i), now_ns)
        assert plan is not None
        yield now_ns, before, plan


@settings(max_examples=15, deadline=None)
@given(noise=st.floats(0.0, 1.5), latency=st.floats(0.0, 0.3), interval=st.floats(0.05, 0.4))
def test_the_next_two_intervals_never_change(noise, latency, interval):
    pipeline = started()
    for now_ns, before, after in run(pipeline, 3.0, noise, latency, interval):
        times_ns = now_ns + np.linspace(0, 2 * PERIOD_NS, 50).astype(np.int64)
        for old, new in zip(before.sample(times_ns), after.sample(times_ns), strict=True):
            np.testing.assert_allclose(new, old, atol=1e-9)
        assert_executable(after, pipeline.limits)


def executed(plans: list[tuple[int, Plan]], end_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """What a controller executes, every 5 ms: always the newest plan."""
    times_ns = np.arange(plans[0][0], end_ns, 5_000_000)
    rows = []
    for t in times_ns:
        active = [plan for sent_ns, plan in plans if sent_ns <= t][-1]
        rows.append(active.sample(np.array([t]))[0][0])
    return times_ns, np.array(rows)


def test_a_stream_of_chunks_follows_the_policy_without_lag_and_smoothly():
    pipeline = started(soft_start=0.0)
    plans = [(now_ns, plan) for now_ns, _, plan in run(pipeline, 6.0, noise=0.0)]
    times_ns, positions = executed(plans, T0_NS + 6_000_000_000)
    settled = times_ns > T0_NS + 1_500_000_000
    wanted = 0.3 * np.sin(2 * np.pi * 0.4 * (times_ns - T0_NS) * 1e-9)
    assert np.abs(positions[settled, 0] - wanted[settled]).max() < 4e-3
    acceleration = np.diff(positions[settled, 0], 2) / 0.005**2
    smooth = 0.3 * (2 * np.pi * 0.4) ** 2 / np.sqrt(2)
    assert np.sqrt(np.mean(acceleration**2)) < 1.5 * smooth


def test_every_plan_ends_at_rest_within_the_plan_horizon():
    pipeline = started()
    for now_ns, _, plan in run(pipeline, 1.0, noise=0.05):
        assert now_ns < plan.end_ns <= now_ns + 600_000_000
        assert not plan.velocities[-1].any()


def test_limited_knots_are_counted_by_joint_and_limit_until_the_counters_are_reset():
    pipeline = started(soft_start=0.0)
    assert pipeline.most_limited() == ""
    fast = Chunk(T0_NS, PERIOD_NS, np.full((HORIZON, 2), [1.0, 0.0]))
    pipeline.add_chunk(fast, T0_NS + 50_000_000)
    pipeline.hold("a test", T0_NS + 60_000_000)
    worst = pipeline.most_limited(1)
    assert worst.split()[0] == "joint_1" and 0 < int(worst.split()[2]) <= pipeline.limited_knots
    assert "joint_2" not in pipeline.most_limited()
    pipeline.reset_counters()
    assert pipeline.most_limited() == ""
    assert (pipeline.plans, pipeline.holds, pipeline.limited_knots, pipeline.disagreements) == (0, 0, 0, 0)


def test_the_soft_start_begins_at_the_given_pose():
    pipeline = started(soft_start=1.0)
    far = Chunk(T0_NS, PERIOD_NS, np.full((HORIZON, 2), 1.0))
    plan = pipeline.add_chunk(far, T0_NS + 50_000_000)
    assert np.abs(plan.sample(np.array([T0_NS + 200_000_000]))[0]).max() < 0.05


def test_an_expired_chunk_changes_nothing():
    pipeline = started()
    old = wave(T0_NS)
    assert pipeline.add_chunk(old, old.end_ns - PERIOD_NS) is None
    assert (pipeline.expired_chunks, pipeline.plans, pipeline.state) == (1, 0, MotionState.WAITING)


def test_a_chunk_that_is_not_finite_is_refused_and_the_active_plan_stays():
    pipeline = started()
    before = pipeline.add_chunk(wave(T0_NS), T0_NS + 80_000_000)
    bad = wave(T0_NS + 100_000_000)
    bad.actions[7, 1] = np.nan
    with pytest.raises(PlanRejected, match="joint_2"):
        pipeline.add_chunk(bad, T0_NS + 180_000_000)
    assert pipeline.plan is before


@settings(max_examples=20, deadline=None)
@given(delay=st.floats(0.0, 0.5), noise=st.floats(0.0, 1.0))
def test_a_hold_brakes_from_the_commanded_state_is_latched_and_ignores_chunks(delay, noise):
    pipeline = started()
    *_, (now_ns, _, plan) = run(pipeline, 1.0, noise)
    hold_ns = now_ns + round(delay * 1e9)
    measured = plan.sample_at(hold_ns)[0] + 0.01
    brake = pipeline.hold("e-stop", hold_ns, measured)
    begin = int(np.searchsorted(brake.times_ns, hold_ns, side="right")) - 1  # after the history
    begin_ns = int(brake.times_ns[begin])
    assert hold_ns - 1_000_000 < begin_ns <= hold_ns, "now, or at the knot just before"
    position, velocity = plan.sample_at(begin_ns)
    np.testing.assert_array_equal(brake.positions[begin], position)
    np.testing.assert_array_equal(brake.velocities[begin], velocity)
    assert_executable(brake, pipeline.limits)
    check_plan(brake, pipeline.limits, pipeline.joints, hold_ns)
    assert pipeline.hold("another reason", hold_ns + 10_000_000) is None
    assert pipeline.hold_reason == "e-stop"
    assert pipeline.add_chunk(wave(hold_ns), hold_ns + 80_000_000) is None
    assert pipeline.plan is brake and pipeline.holds == 1


def test_controllers_whose_clock_was_set_back_are_held_where_they_stopped():
    pipeline = started()
    *_, (now_ns, _, plan) = run(pipeline, 1.0, noise=0.0)
    stopped_ns = now_ns + 40_000_000
    position, velocity = plan.sample_at(stopped_ns)
    assert velocity.any(), "the test needs a moving arm"
    earlier_ns = now_ns - 5_000_000_000
    brake = pipeline.hold("the clock was set back", earlier_ns, stopped_ns=stopped_ns)
    assert brake.times_ns[0] == earlier_ns
    np.testing.assert_array_equal(brake.positions, np.tile(position, (len(brake.times_ns), 1)))
    assert not brake.velocities.any()


def test_a_hold_uses_the_measured_pose_only_above_max_tracking_error():
    pipeline = started(max_tracking_error=np.array([0.1, 0.1]))
    brake = pipeline.hold("lost", T0_NS + 1, measured=np.array([0.05, 0.5]))
    np.testing.assert_array_equal(brake.positions[-1], [0.0, 0.5])


def test_resume_waits_for_rest_then_starts_from_the_commanded_pose():
    pipeline = started()
    now_ns = [now for now, _, _ in run(pipeline, 0.4, noise=0.0)][-1]
    brake = pipeline.hold("stale camera", now_ns + 50_000_000)
    assert brake.velocities[0].any(), "the test needs a moving arm"
    assert not pipeline.resume(now_ns + 51_000_000)
    later_ns = brake.end_ns + 1_000_000
    assert pipeline.resume(later_ns)
    assert (pipeline.state, pipeline.hold_reason) == (MotionState.WAITING, "")
    plan = pipeline.add_chunk(wave(later_ns), later_ns + 80_000_000)
    np.testing.assert_allclose(plan.positions[0], brake.positions[-1])


def held(max_tracking_error: float):
    """A pipeline that is at rest in a hold, and the present time."""
    pipeline = started(max_tracking_error=np.full(2, max_tracking_error))
    now_ns = [now for now, _, _ in run(pipeline, 0.4, noise=0.0)][-1]
    brake = pipeline.hold("stale camera", now_ns + 50_000_000)
    return pipeline, brake.end_ns + 1_000_000


def first_plan(pipeline, now_ns) -> Plan:
    return pipeline.add_chunk(wave(now_ns), now_ns + 80_000_000)


@pytest.mark.parametrize(("moved_by", "follows"), [(0.03, False), (0.08, True), (0.9, True)])
def test_an_arm_that_was_moved_during_a_hold_starts_at_its_measured_pose(moved_by, follows):
    pipeline, now_ns = held(max_tracking_error=0.5)
    commanded = pipeline.plan.positions[-1]
    measured = commanded + np.array([moved_by, 0.0])
    assert pipeline.resume(now_ns, measured)
    expected = measured if follows else commanded
    np.testing.assert_allclose(first_plan(pipeline, now_ns).positions[0], expected)


def test_a_controller_that_missed_the_hold_starts_at_its_measured_pose():
    pipeline, now_ns = held(max_tracking_error=np.inf)
    commanded = pipeline.plan.positions[-1]
    measured = commanded + 0.05
    assert pipeline.resume(now_ns, measured, np.array([False, True]))
    np.testing.assert_allclose(
        first_plan(pipeline, now_ns).positions[0], [commanded[0], measured[1]], atol=1e-12
    )


def test_joints_with_a_tracking_error_are_named_with_both_positions():
    pipeline = started(max_tracking_error=np.array([0.1, 0.1]))
    assert pipeline.describe_tracking_error(np.array([0.09, -0.09]), T0_NS) == ""
    assert (
        pipeline.describe_tracking_error(np.array([0.0, 0.2]), T0_NS) == "joint_2 is at 0.2, commanded to 0"
    )


def test_change_task_drops_the_former_chunks():
    pipeline = started(soft_start=0.0, ensemble=ensemble_settings(temporal_ensemble_coeff=0.0))
    pipeline.add_chunk(Chunk(T0_NS, PERIOD_NS, np.full((HORIZON, 2), -0.5)), T0_NS + 50_000_000)
    pipeline.change_task()
    pipeline.add_chunk(Chunk(T0_NS + 1, PERIOD_NS, np.full((HORIZON, 2), 0.4)), T0_NS + 60_000_000)
    assert pipeline.live_chunks == 1


@given(velocity=st.floats(0.1, 6.0), braking=st.floats(0.02, 1.0))
def test_a_plan_horizon_too_short_to_brake_is_refused_with_a_sufficient_value(velocity, braking):
    limits = motion_limits(2, velocity, velocity / braking)
    with pytest.raises(
        ContractError, match=rf"plan_horizon is 0.1 s.*needs {braking:.3f} s to brake"
    ) as error:
        make_pipeline(2, limits, plan_horizon=0.1)
    enough = float(str(error.value).split("Raise plan_horizon to ")[1].split(" s")[0])
    make_pipeline(2, limits, plan_horizon=enough)
    assert enough < braking + 5 * DT + 0.01


def test_the_shortest_plan_horizon_has_room_for_the_frozen_knots_and_the_brake():
    """Ten knots of braking, two frozen ones, and one at each end because now is between two knots."""
    limits = motion_limits(2, 8.0 * 10 * DT, 8.0)
    make_pipeline(2, limits, plan_horizon=14 * DT)
    with pytest.raises(ContractError, match="plan_horizon"):
        make_pipeline(2, limits, plan_horizon=14 * DT - 0.001)


def test_a_hold_drops_the_chunks_and_holds_its_pose_for_ten_seconds():
    pipeline = started()
    pipeline.add_chunk(wave(T0_NS), T0_NS + 80_000_000)
    assert pipeline.live_chunks == 1
    brake = pipeline.hold("a test", T0_NS + 300_000_000)
    assert pipeline.live_chunks == 0
    held = brake.end_ns - T0_NS - 300_000_000
    assert 10_000_000_000 < held < 10_400_000_000, "so late may it be delivered"
    assert not pipeline.at_rest(T0_NS + 300_000_000) and pipeline.clamped_knots == 0


def test_a_resume_without_a_hold_changes_nothing():
    pipeline = started()
    plan = pipeline.add_chunk(wave(T0_NS), T0_NS + 80_000_000)
    assert pipeline.resume(T0_NS + 100_000_000)
    assert pipeline.plan is plan and pipeline.state is MotionState.RUNNING


def test_in_continuous_motion_a_chunk_is_always_awaited_but_for_a_hold():
    pipeline = started()
    assert pipeline.awaits_chunk(T0_NS)
    plan = pipeline.add_chunk(wave(T0_NS), T0_NS + 80_000_000)
    assert pipeline.awaits_chunk(T0_NS + 100_000_000) and pipeline.awaits_chunk(plan.end_ns)
    brake = pipeline.hold("a test", T0_NS + 100_000_000)
    assert not pipeline.awaits_chunk(brake.end_ns)


def test_using_the_pipeline_before_start_raises_value_error():
    with pytest.raises(ValueError, match="not been started"):
        make_pipeline().hold("x", T0_NS)
