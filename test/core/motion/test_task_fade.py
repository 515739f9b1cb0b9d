# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_helpers import DT, PERIOD_NS, T0_NS, assert_executable, make_pipeline

from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.core.motion._chunk import Blend

HORIZON = 31
LATENCY_NS = 60_000_000


def run(pipeline, goals: list[float], interval_ns: int = 200_000_000):
    """Adds a chunk of constant goals at every interval; a new goal is a change of the task."""
    now_ns, before = T0_NS, None
    for goal in goals:
        if before is not None and goal != before:
            pipeline.change_task()
        before = goal
        plan_before = pipeline.plan
        now_ns += interval_ns
        chunk = Chunk(now_ns - LATENCY_NS, PERIOD_NS, np.full((HORIZON, 2), goal))
        yield now_ns, plan_before, pipeline.add_chunk(chunk, now_ns)


def started(**changes):
    pipeline = make_pipeline(soft_start=0.0, **changes)
    pipeline.start(np.zeros(2), T0_NS)
    return pipeline


def commanded(plans, end_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """The commanded position of joint 0, every 5 ms, from the newest plan at that time."""
    times_ns = np.arange(plans[0][0], end_ns, 5_000_000)
    rows = [[plan for sent_ns, plan in plans if sent_ns <= t][-1].sample_at(int(t))[0][0] for t in times_ns]
    return times_ns, np.array(rows)


def test_a_change_of_the_task_takes_task_fade_seconds():
    goals = [0.0] * 5 + [0.3] * 15
    arrival = {}
    for fade in (0.0, 1.5):
        plans = [(now_ns, plan) for now_ns, _, plan in run(started(task_fade=fade), goals)]
        times_ns, positions = commanded(plans, plans[-1][0])
        changed_ns = plans[5][0]
        halfway = times_ns[np.argmax(positions > 0.15)]
        arrival[fade] = (halfway - changed_ns) * 1e-9
        assert positions[-1] > 0.295
    # The fade begins after the frozen knots, and half of it is done after half of its duration.
    assert abs(arrival[1.5] - (0.75 + 3 * DT)) < 0.08
    assert arrival[0.0] < 0.5


@settings(max_examples=15, deadline=None)
@given(goals=st.lists(st.sampled_from([-0.4, 0.0, 0.4]), min_size=2, max_size=20), fade=st.floats(0.05, 3.0))
def test_a_task_change_at_any_time_never_changes_what_is_executed(goals, fade):
    pipeline = started(task_fade=fade)
    for now_ns, before, after in run(pipeline, goals):
        times_ns = now_ns + np.linspace(0, 2 * PERIOD_NS, 30).astype(np.int64)
        for old, new in zip(before.sample(times_ns), after.sample(times_ns), strict=True):
            np.testing.assert_allclose(new, old, atol=1e-9)
        assert_executable(after, pipeline.limits)


def test_the_blend_equals_the_formula():
    rng = np.random.default_rng(0)
    times_ns = T0_NS + PERIOD_NS * np.arange(10, dtype=np.int64)
    former, target = rng.normal(size=(6, 2)), rng.normal(size=(10, 2))
    fade = Blend(Chunk(T0_NS, PERIOD_NS, former), int(times_ns[2]), 5 * DT)
    blended = fade.apply(times_ns, target)
    for k in range(10):
        old = former[min(k, 5)]
        u = min(max((k - 2) / 5, 0.0), 1.0)
        weight = 3 * u**2 - 2 * u**3
        np.testing.assert_allclose(blended[k], (1 - weight) * old + weight * target[k], atol=1e-7)


def test_a_hold_ends_the_fade():
    pipeline = started(task_fade=2.0)
    *_, (now_ns, _, _) = run(pipeline, [0.0, 0.0, 0.4])
    pipeline.hold("a reason", now_ns)
    assert pipeline.resume(now_ns + 2_000_000_000)
    times = []
    for i in range(12):
        later_ns = now_ns + 2_000_000_000 + i * 200_000_000
        plan = pipeline.add_chunk(
            Chunk(later_ns - LATENCY_NS, PERIOD_NS, np.full((HORIZON, 2), 0.4)), later_ns
        )
        times.append(plan.sample_at(later_ns)[0][0])
    assert times[4] > 0.39, "the fade of two seconds has ended"
