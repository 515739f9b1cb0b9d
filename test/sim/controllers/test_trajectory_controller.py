# SPDX-License-Identifier: Apache-2.0
"""The trajectory controller against the facts known of the real one and against a slow reference."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_policy_ros.sim.controllers import Point, Trajectory, TrajectoryController
from dit_policy_ros.sim.controllers._trajectory import Knot, segment_between
from dit_policy_ros.sim.controllers._trajectory_rules import reject_reason

MS = 1_000_000
PERIOD = 2 * MS
T0 = 1_700_000_000_000_000_000  # [ns], a present-day clock
JOINTS = ("a", "b")
ZERO = np.zeros(2)


def controller(positions=(0.0, 0.0)) -> TrajectoryController:
    made = TrajectoryController("c", JOINTS, period_ns=PERIOD)
    made.reset(np.array(positions))
    return made


def trajectory(*points: Point, stamp_ns: int = T0, names: tuple[str, ...] = JOINTS) -> Trajectory:
    return Trajectory(stamp_ns, names, points)


def line(*positions: tuple[float, float], dt_ms: int = 100, first_ms: int = 0) -> tuple[Point, ...]:
    return tuple(Point((first_ms + i * dt_ms) * MS, p) for i, p in enumerate(positions))


def run(c: TrajectoryController, start_ns: int, stop_ns: int, measured=ZERO) -> np.ndarray:
    return np.array([c.update(t, measured, ZERO) for t in range(start_ns, stop_ns, PERIOD)])  # (N, 2)


# -- rejection --------------------------------------------------------------------------------------------

GOOD = trajectory(Point(0, (0.0, 0.0), (0.1, 0.1)), Point(100 * MS, (1.0, 1.0), (0.0, 0.0)))


def change(index: int, **fields) -> Trajectory:
    points = list(GOOD.points)
    points[index] = dataclasses.replace(points[index], **fields)
    return dataclasses.replace(GOOD, points=tuple(points))


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (dataclasses.replace(GOOD, joint_names=()), "empty joint_names"),
        (dataclasses.replace(GOOD, joint_names=("a",)), "allow_partial_joints_goal"),
        (dataclasses.replace(GOOD, joint_names=("a", "b", "b")), "joint count"),
        (dataclasses.replace(GOOD, points=()), "no points"),
        (dataclasses.replace(GOOD, joint_names=("a", "x")), "unknown joint: 'x'"),
        (change(1, velocities=(0.0, 1e-6)), "non-zero velocity at the end"),
        (dataclasses.replace(GOOD, stamp_ns=T0 - 101 * MS), "ends in the past"),
        (change(1, time_from_start_ns=0), "strictly increasing"),
        (change(0, time_from_start_ns=200 * MS), "strictly increasing"),
        (change(0, positions=(1.0,)), "field length: 1 positions"),
        (change(0, positions=()), "field length: 0 positions"),
        (change(0, velocities=(1.0,)), "field length: 1 velocities"),
        (change(1, velocities=(0.0, 0.0, 0.0)), "field length: 3 velocities"),
        (change(0, accelerations=(1.0, 1.0, 1.0)), "field length: 3 accelerations"),
        (change(0, effort=(1.0, 1.0)), "effort"),
    ],
)
def test_every_rejection_rule_names_itself_and_leaves_the_motion_alone(message, rule):
    c = controller()
    assert c.accept(trajectory(*line((0.0, 0.0), (1.0, 1.0))), T0) is None
    reason = c.accept(message, T0)
    assert reason is not None
    assert rule in reason
    assert (c.accepted, c.rejected) == (1, 1)
    np.testing.assert_allclose(run(c, T0, T0 + 50 * MS)[-1], [0.5, 0.5], atol=1e-9)


@pytest.mark.parametrize(
    "message",
    [
        GOOD,
        dataclasses.replace(GOOD, stamp_ns=T0 - 100 * MS),  # ends exactly now
        dataclasses.replace(GOOD, stamp_ns=0),
        change(0, positions=(float("nan"), 0.0)),
        dataclasses.replace(GOOD, joint_names=("a", "a")),
        change(1, velocities=(1e-8, 0.0)),  # below a float32's epsilon
        change(1, velocities=()),
    ],
)
def test_what_the_real_controller_accepts_is_accepted(message):
    assert reject_reason(message, JOINTS, T0) is None


# -- time -------------------------------------------------------------------------------------------------


def test_stamp_zero_starts_at_the_next_update():
    c = controller()
    c.accept(trajectory(*line((0.0, 0.0), (1.0, 2.0)), stamp_ns=0), T0 - 500 * MS)
    commands = run(c, T0, T0 + 120 * MS)
    np.testing.assert_allclose(commands[0], [0.02, 0.04], atol=1e-12)  # one period ahead
    np.testing.assert_allclose(commands[24], [0.5, 1.0], atol=1e-12)
    np.testing.assert_allclose(commands[-1], [1.0, 2.0], atol=0)


def test_first_point_ahead_ramps_from_the_measured_state_at_once():
    c = controller(positions=(5.0, 5.0))
    c.accept(trajectory(*line((1.0, 1.0), (2.0, 2.0), first_ms=1000)), T0)
    commands = run(c, T0, T0 + 1000 * MS, measured=np.array([0.5, 0.0]))
    np.testing.assert_allclose(commands[0], [0.5 + 0.5 * 0.002, 0.002], atol=1e-9)
    np.testing.assert_allclose(commands[249], [0.75, 0.5], atol=1e-9)
    np.testing.assert_allclose(commands[-1], [1.0, 1.0], atol=1e-9)


def test_first_point_due_samples_the_message_and_ignores_the_state():
    c = controller(positions=(5.0, 5.0))
    c.accept(trajectory(*line((0.0, 0.0), (1.0, 1.0), (3.0, 3.0)), stamp_ns=T0 - 148 * MS), T0)
    commands = run(c, T0, T0 + 4 * MS, measured=np.array([9.0, 9.0]))
    np.testing.assert_allclose(commands[0], [2.0, 2.0], atol=1e-9)  # 150 ms into the message


def test_a_new_message_replaces_the_running_one_whole():
    c = controller()
    c.accept(trajectory(*line((0.0, 0.0), (1.0, 1.0), (2.0, 2.0))), T0)
    run(c, T0, T0 + 50 * MS)
    now = T0 + 50 * MS
    c.accept(trajectory(*line((9.0, 9.0)), stamp_ns=now), now)
    c.accept(trajectory(*line((7.0, 7.0)), stamp_ns=now), now)  # the last one wins
    np.testing.assert_allclose(run(c, now, now + 200 * MS)[-1], [7.0, 7.0], atol=0)


def test_the_last_position_is_held():
    c = controller()
    c.accept(trajectory(*line((0.0, 0.0), (1.0, -1.0))), T0)
    run(c, T0, T0 + 100 * MS)
    held = run(c, T0 + 100 * MS, T0 + 5_000 * MS)
    assert (held == [1.0, -1.0]).all()
    np.testing.assert_array_equal(c.reference.velocity, ZERO)


def test_a_clock_that_goes_back_behind_the_message_keeps_the_command():
    c = controller()
    c.accept(trajectory(*line((0.0, 0.0), (1.0, 1.0))), T0)
    before = run(c, T0, T0 + 50 * MS)[-1]
    np.testing.assert_array_equal(c.update(T0 - 10**9, ZERO, ZERO), before)


def test_joints_are_matched_by_name():
    c = controller()
    c.accept(trajectory(*line((1.0, 2.0)), names=("b", "a")), T0)
    np.testing.assert_array_equal(run(c, T0, T0 + PERIOD)[0], [2.0, 1.0])


def test_nan_reaches_the_command_and_stays_until_reset():
    c = controller()
    assert c.accept(trajectory(Point(0, (float("nan"), 1.0))), T0) is None
    np.testing.assert_array_equal(run(c, T0, T0 + PERIOD)[0], [np.nan, 1.0])
    c.accept(trajectory(*line((3.0, 3.0))), T0)
    np.testing.assert_array_equal(run(c, T0, T0 + PERIOD)[0], [np.nan, 3.0])
    assert c.broken_joints == ("a",)
    c.reset(ZERO)
    c.accept(trajectory(*line((3.0, 3.0))), T0)
    np.testing.assert_array_equal(run(c, T0, T0 + PERIOD)[0], [3.0, 3.0])


def test_reset_holds_and_forgets():
    c = controller()
    c.accept(trajectory(*line((0.0, 0.0), (1.0, 1.0))), T0)
    c.reset(np.array([0.3, 0.4]))
    assert not c.has_trajectory
    np.testing.assert_array_equal(run(c, T0, T0 + 100 * MS)[-1], [0.3, 0.4])


# -- interpolation ----------------------------------------------------------------------------------------

finite = st.floats(-3.0, 3.0)
pair = st.tuples(finite, finite)


def knot(time_ms: int, p, v=None, a=None) -> Knot:
    return Knot(
        time_ms * MS, np.array(p), None if v is None else np.array(v), None if a is None else np.array(a)
    )


def derivatives(segment, time_ns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns position, velocity, acceleration of the polynomial, by numpy's own calculus."""
    t = (time_ns - segment.start_ns) * 1e-9
    polynomials = [np.polynomial.Polynomial(column) for column in segment.coefficients.T]
    return tuple(np.array([p.deriv(d)(t) if d else p(t) for p in polynomials]) for d in range(3))


@given(pair, pair, pair, pair, pair, pair, st.integers(2, 5000))
def test_boundary_conditions_hold_at_both_ends(p0, v0, a0, p1, v1, a1, duration_ms):
    for with_velocity, with_acceleration in ((False, False), (True, False), (True, True)):
        start = knot(100, p0, v0 if with_velocity else None, a0 if with_acceleration else None)
        end = knot(100 + duration_ms, p1, v1 if with_velocity else None, a1 if with_acceleration else None)
        segment = segment_between(start, end)
        assert len(segment.coefficients) == (6 if with_acceleration else 4 if with_velocity else 2)
        for at in (start, end):
            p, v, a = derivatives(segment, at.time_ns)
            np.testing.assert_allclose(p, at.position, atol=1e-7)
            np.testing.assert_allclose(segment.position(at.time_ns), p, atol=1e-9)
            if with_velocity:
                np.testing.assert_allclose(v, at.velocity, atol=1e-5)
            sample = segment.sample(at.time_ns)
            np.testing.assert_allclose(sample.velocity, v, atol=1e-9)
            np.testing.assert_allclose(sample.acceleration, a, atol=1e-9)
            if with_acceleration:
                np.testing.assert_allclose(a, at.acceleration, atol=2e-2)


def test_one_side_without_velocities_makes_a_segment_linear():
    segment = segment_between(knot(0, (0.0, 0.0), (5.0, 5.0)), knot(100, (1.0, 1.0)))
    np.testing.assert_allclose(segment.position(50 * MS), [0.5, 0.5])


def test_accelerations_without_velocities_command_zero_as_the_real_controller_does():
    segment = segment_between(knot(0, (1.0, 1.0), None, (0.0, 0.0)), knot(100, (1.0, 1.0), None, (0.0, 0.0)))
    np.testing.assert_array_equal(segment.position(50 * MS), [0.0, 0.0])


def reference(message: Trajectory, received_ns: int, state, time_ns: int) -> np.ndarray:
    """Where the joints should be, found by searching all points anew; positions, or cubic in Bezier form."""
    start = message.stamp_ns or received_ns
    times = [start + p.time_from_start_ns for p in message.points]
    knots = [
        (t, np.array(p.positions), np.array(p.velocities) if p.velocities else None)
        for t, p in zip(times, message.points, strict=True)
    ]
    if times[0] > time_ns:
        knots.insert(0, (received_ns, state, ZERO if knots[0][2] is not None else None))
    if time_ns >= knots[-1][0]:
        return knots[-1][1]
    index = max(i for i, k in enumerate(knots) if k[0] <= time_ns)
    (t0, p0, v0), (t1, p1, v1) = knots[index], knots[index + 1]
    s, h = (time_ns - t0) / (t1 - t0), (t1 - t0) * 1e-9
    if v0 is None or v1 is None:
        return (1 - s) * p0 + s * p1
    control = [p0, p0 + v0 * h / 3, p1 - v1 * h / 3, p1]
    weights = [(1 - s) ** 3, 3 * s * (1 - s) ** 2, 3 * s**2 * (1 - s), s**3]
    return sum(w * c for w, c in zip(weights, control, strict=True))


@st.composite
def messages(draw) -> Trajectory:
    count = draw(st.integers(1, 6))
    gaps = draw(st.lists(st.integers(1, 120), min_size=count, max_size=count))
    first = draw(st.sampled_from([0, 1, 30, 200]))
    cubic = draw(st.booleans())
    times = first * MS + np.concatenate([[0], np.cumsum(gaps[1:])]).astype(int) * MS
    points = []
    for i, time_ns in enumerate(times):
        velocities = ((0.0, 0.0) if i == count - 1 else draw(pair)) if cubic else ()
        points.append(Point(int(time_ns), draw(pair), velocities))
    stamp = draw(st.sampled_from([0, T0, T0 - 37 * MS, T0 - 150 * MS, T0 + 80 * MS]))
    return Trajectory(stamp, JOINTS, tuple(points))


@settings(max_examples=60, deadline=None)
@given(messages(), pair)
def test_commands_equal_a_slow_reference(message, state):
    c = controller()
    if c.accept(message, T0) is not None:
        assert message.stamp_ns != 0
        assert message.stamp_ns + message.points[-1].time_from_start_ns < T0
        return
    for time_ns in range(T0, T0 + 700 * MS, PERIOD):
        command = c.update(time_ns, np.array(state), ZERO)
        wanted = reference(message, T0, np.array(state), time_ns + PERIOD)
        np.testing.assert_allclose(command, wanted, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(st.lists(pair, min_size=8, max_size=8), st.integers(0, 5))
def test_resending_the_same_plan_later_changes_nothing(positions, index):
    """The way we stream: the same absolute plan, cut to what remains, executes as if sent once."""
    plan = line(*positions, dt_ms=33)
    once, resent = controller(), controller()
    once.accept(trajectory(*plan), T0)
    resent.accept(trajectory(*plan), T0)
    now = T0 + (index * 33 + 11) * MS
    for time_ns in range(T0, T0 + 400 * MS, PERIOD):
        if time_ns <= now < time_ns + PERIOD:
            rest = tuple(
                dataclasses.replace(p, time_from_start_ns=p.time_from_start_ns - index * 33 * MS)
                for p in plan[index:]
            )
            assert resent.accept(trajectory(*rest, stamp_ns=T0 + index * 33 * MS), time_ns) is None
        a, b = once.update(time_ns, ZERO, ZERO), resent.update(time_ns, ZERO + 9.0, ZERO)
        np.testing.assert_allclose(a, b, atol=1e-9)
