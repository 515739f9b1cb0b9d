# SPDX-License-Identifier: Apache-2.0
"""Actions are sent earlier by exactly the latency of their controller."""

import numpy as np
import pytest
from motion_helpers import PERIOD_NS, T0_NS, assert_executable, dense, make_pipeline

from dit_policy_ros.core.motion import Chunk

MS = 1_000_000
ROWS = 31


def target(times_ns):
    """What the policy wants at these times (N,) -> (N, 2)."""
    t = (times_ns - T0_NS) * 1e-9
    return np.stack([0.3 * np.sin(2.0 * t), 0.2 * np.cos(1.5 * t) - 0.2], axis=1)


def chunk(stamp_ns):
    return Chunk(stamp_ns, PERIOD_NS, target(stamp_ns + PERIOD_NS * np.arange(ROWS)))


def executed(lead, seconds=4.0, latency_ns=60 * MS):
    """Times and positions of what the controllers execute of a policy that replans ten times per second."""
    pipeline = make_pipeline(lead=np.array(lead), soft_start=0.2)
    pipeline.start(target(np.array([T0_NS]))[0], T0_NS)
    times, rows, now_ns = [], [], T0_NS
    for number in range(round(seconds / 0.1)):
        stamp_ns = T0_NS + number * 100 * MS
        now_ns = stamp_ns + latency_ns
        plan = pipeline.add_chunk(chunk(stamp_ns), now_ns)
        assert_executable(plan, pipeline.limits)
        times_ns, positions, _ = dense(plan)
        played = (times_ns >= now_ns) & (times_ns < now_ns + 100 * MS)
        times.append(times_ns[played])
        rows.append(positions[played])
    return np.concatenate(times), np.concatenate(rows)


@pytest.mark.parametrize("lead", [[0.0, 0.0], [0.05, 0.05], [0.12, 0.12], [0.0, 0.08], [0.047, 0.013]])
def test_each_joint_leads_by_its_latency(lead):
    times_ns, positions = executed(lead)
    settled = times_ns > T0_NS + 2_000 * MS
    for joint in range(2):
        meant_ns = times_ns[settled] + round(lead[joint] * 1e9)
        np.testing.assert_allclose(positions[settled, joint], target(meant_ns)[:, joint], atol=2e-3)


def test_a_lead_of_all_joints_changes_the_stamp_and_nothing_else():
    """The shift is exact: the plan is that of a chunk whose stamp is earlier, to the last bit."""
    lead_ns = 70 * MS
    led, plain = make_pipeline(lead=np.full(2, 0.07)), make_pipeline()
    for pipeline in (led, plain):
        pipeline.start(np.zeros(2), T0_NS)
    for number in range(8):
        stamp_ns = T0_NS + number * 100 * MS
        now_ns = stamp_ns + 60 * MS
        given = chunk(stamp_ns)
        plan = led.add_chunk(given, now_ns)
        other = plain.add_chunk(Chunk(stamp_ns - lead_ns, PERIOD_NS, given.actions), now_ns)
        for name in ("times_ns", "positions", "velocities"):
            assert getattr(plan, name).tobytes() == getattr(other, name).tobytes()


def test_a_chunk_is_too_late_earlier_by_the_lead():
    led, plain = make_pipeline(lead=np.full(2, 0.3)), make_pipeline()
    for pipeline in (led, plain):
        pipeline.start(np.zeros(2), T0_NS)
    given = chunk(T0_NS)
    now_ns = given.end_ns - 250 * MS
    assert not plain.is_too_late(given, now_ns)
    assert led.is_too_late(given, now_ns)


@pytest.mark.parametrize("lead", [[0.05, 0.05], [0.02, 0.08]])
def test_real_time_chunking_continues_what_is_sent(lead):
    """Its known rows are the actions that the policy meant, not what is commanded at their times."""
    pipeline = make_pipeline(lead=np.array(lead), soft_start=0.0)
    pipeline.start(target(np.array([T0_NS]))[0], T0_NS)
    for number in range(20):
        stamp_ns = T0_NS + number * 100 * MS
        previous = chunk(stamp_ns)
        pipeline.add_chunk(previous, stamp_ns + 60 * MS)
    next_ns = stamp_ns + 100 * MS
    known = pipeline.continuation(previous, next_ns, next_ns, 12, next_ns + 100 * MS)
    meant = target(next_ns + PERIOD_NS * np.arange(12))
    np.testing.assert_allclose(known.actions, meant, atol=3e-3)
    assert 0 < known.committed < 12
