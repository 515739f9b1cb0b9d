# SPDX-License-Identifier: Apache-2.0
"""What differs between the releases of joint_trajectory_controller, and what an inactive one does.

The expected values were worked out from the sources of each branch (August 2026).
"""

import dataclasses

import numpy as np
import pytest

from dit_policy_ros.sim.controllers import (
    ControllerRelease,
    ControllerSettings,
    Point,
    Trajectory,
    TrajectoryController,
)
from dit_policy_ros.sim.controllers._trajectory_joining import upsampled
from dit_policy_ros.sim.robot import BimanualSim

MS = 1_000_000
PERIOD = 5 * MS
T0 = 1_700_000_000_000_000_000  # [ns]
JOINT = ("a",)
ZERO = np.zeros(1)
HUMBLE, JAZZY, KILTED, ROLLING = ControllerRelease
SINCE_JAZZY = (JAZZY, KILTED, ROLLING)


def controller(release: ControllerRelease, **settings) -> TrajectoryController:
    return TrajectoryController(
        "c", JOINT, period_ns=PERIOD, settings=ControllerSettings(release, **settings)
    )


def line(*positions: float, stamp_ns: int, dt_ms: int = 100, first_ms: int = 0) -> Trajectory:
    points = tuple(Point((first_ms + i * dt_ms) * MS, (p,)) for i, p in enumerate(positions))
    return Trajectory(stamp_ns, JOINT, points)


def run(c: TrajectoryController, start_ns: int, stop_ns: int, measured: float = 0.0) -> np.ndarray:
    return np.array(
        [c.update(t, np.array([measured]), ZERO)[0] for t in range(start_ns, stop_ns, PERIOD)]
    )  # (N,)


@pytest.mark.parametrize("release", ControllerRelease)
def test_the_command_is_one_period_ahead_of_the_reference_except_on_humble(release):
    c = controller(release)
    c.accept(line(0.0, 1.0, stamp_ns=T0), T0)
    commands = run(c, T0, T0 + 50 * MS)
    ahead = 0.0 if release is HUMBLE else 0.05
    np.testing.assert_allclose(commands[4], 0.2 + ahead, atol=1e-12)
    np.testing.assert_allclose(c.reference.position, [0.45], atol=1e-12)
    np.testing.assert_allclose(c.reference.velocity, [10.0], atol=1e-12)
    np.testing.assert_allclose(c.reference.acceleration, [0.0], atol=1e-12)
    assert c.reference.time_ns == T0 + 45 * MS


@pytest.mark.parametrize("release", ControllerRelease)
def test_only_humble_lets_a_trajectory_end_in_motion(release):
    moving = Trajectory(0, JOINT, (Point(0, (0.0,), (1.0,)), Point(100 * MS, (0.1,), (1.0,))))
    reason = controller(release).accept(moving, T0)
    assert (reason is None) == (release is HUMBLE)


# -- a new message while another one runs --------------------------------------------------------------------

REPLACING = [(release, {}) for release in (HUMBLE, JAZZY, KILTED)] + [
    (ROLLING, {"allow_trajectory_replacement": False})
]


@pytest.mark.parametrize(("release", "settings"), REPLACING)
def test_a_plan_that_began_in_the_past_continues_where_it_should_be(release, settings):
    c = controller(release, **settings)
    c.accept(line(*np.arange(10.0), stamp_ns=T0), T0)
    run(c, T0, T0 + 250 * MS)
    now = T0 + 250 * MS
    c.accept(line(*np.arange(1.0, 10.0), stamp_ns=T0 + 100 * MS), now)
    ahead = 0.0 if release is HUMBLE else 0.05
    np.testing.assert_allclose(run(c, now, now + 100 * MS), 2.5 + ahead + 0.05 * np.arange(20), atol=1e-9)


def test_rolling_starts_a_plan_from_the_past_anew():
    c = controller(ROLLING)
    c.accept(line(*np.arange(10.0), stamp_ns=T0), T0)
    run(c, T0, T0 + 250 * MS)
    now = T0 + 250 * MS
    c.accept(line(*np.arange(1.0, 10.0), stamp_ns=T0 + 100 * MS), now)  # 1.5 positions have passed
    # It goes back to the first point of the message.
    np.testing.assert_allclose(run(c, now, now + 100 * MS), 1.05 + 0.05 * np.arange(20), atol=1e-9)


def test_rolling_bridges_from_the_last_update_to_a_first_point_in_the_future():
    c = controller(ROLLING)
    c.accept(line(*np.arange(10.0), stamp_ns=T0), T0)
    before = run(c, T0, T0 + 250 * MS)
    now = T0 + 250 * MS
    c.accept(line(9.0, 9.0, stamp_ns=now, first_ms=50), now)
    commands = run(c, now, now + 50 * MS, measured=-5.0)  # the measured state is not used
    # The bridge begins at the reference of the last update, 2.45, now: its first command, one period later.
    start, end = 2.45, 9.0
    np.testing.assert_allclose(commands, start + (end - start) * 0.1 * np.arange(1, 11), atol=1e-9)
    assert before[-1] == pytest.approx(2.5)


def test_rolling_keeps_the_running_points_until_a_stamp_in_the_future():
    c = controller(ROLLING)
    c.accept(line(*np.arange(10.0), stamp_ns=T0), T0)
    run(c, T0, T0 + 250 * MS)
    now = T0 + 250 * MS
    c.accept(line(0.0, 0.0, stamp_ns=now + 200 * MS, first_ms=100), now)
    commands = run(c, now, now + 400 * MS, measured=2.5)
    times = (np.arange(len(commands)) + 1) * 0.005  # [s] from now to the command
    # Everything is one period late: the running points at 3.0 and 4.0, then the handover at 4.45.
    late = np.interp(times, [0.0, 0.055, 0.155, 0.2, 0.3], [2.5, 3.0, 4.0, 4.45, 0.0])
    np.testing.assert_allclose(commands, late, atol=1e-9)


def test_rolling_joins_nothing_to_a_trajectory_of_one_point():
    c = controller(ROLLING)
    c.accept(line(1.0, stamp_ns=T0), T0)
    run(c, T0, T0 + 50 * MS)
    now = T0 + 50 * MS
    c.accept(line(0.0, 1.0, stamp_ns=now - 50 * MS), now)
    np.testing.assert_allclose(run(c, now, now + PERIOD), [0.55], atol=1e-9)


# -- the state from which a first point in the future is approached ------------------------------------------


def first_step(release: ControllerRelease, **settings) -> float:
    """The first command after a replacement by a message 100 ms ahead that ends where the motion would."""
    c = controller(release, **settings)
    c.accept(line(0.0, 1.0, 2.0, stamp_ns=T0), T0)
    run(c, T0, T0 + 50 * MS)
    now = T0 + 50 * MS
    c.accept(line(1.5, 2.0, stamp_ns=now, first_ms=100), now)
    return run(c, now, now + PERIOD, measured=0.4)[0]


@pytest.mark.parametrize(
    ("release", "settings"),
    [
        (HUMBLE, {}),
        (HUMBLE, {"interpolate_from_desired_state": True}),  # Humble does not have it
        *((release, {"allow_trajectory_replacement": False}) for release in SINCE_JAZZY),
        (KILTED, {"open_loop_control": True}),  # it was removed
    ],
)
def test_by_default_it_is_the_measured_state(release, settings):
    ahead = 0 if release is HUMBLE else 5
    assert first_step(release, **settings) == pytest.approx(0.4 + 1.1 * ahead / 100)


@pytest.mark.parametrize(
    ("release", "setting"),
    [
        (JAZZY, "open_loop_control"),
        (JAZZY, "interpolate_from_desired_state"),
        (KILTED, "interpolate_from_desired_state"),
        (ROLLING, "interpolate_from_desired_state"),
    ],
)
def test_the_last_command_is_stamped_one_period_early(release, setting):
    step = first_step(release, **{setting: True, "allow_trajectory_replacement": False})
    # The command 0.5 was for the update at 50 ms, but is stamped 45 ms: two periods of motion in one.
    assert step == pytest.approx(0.5 + 1.0 * 10 / 105)


def test_humble_in_open_loop_starts_from_the_last_command_now():
    assert first_step(HUMBLE, open_loop_control=True) == pytest.approx(0.45)


# -- positions_upsampling ------------------------------------------------------------------------------------


def test_upsampling_gives_a_spline_at_rest_at_both_ends():
    times = np.array([0, 30, 100, 140, 220]) * MS
    message = Trajectory(0, ("a", "b"), tuple(
        Point(int(t), (float(np.sin(t * 1e-8)), 2.0 * i)) for i, t in enumerate(times)
    ))  # fmt: skip
    made = upsampled(message, 0.0)
    velocities = np.array([p.velocities for p in made.points])  # (T, A)
    assert (velocities[[0, -1]] == 0.0).all()
    positions, seconds = np.array([p.positions for p in made.points]), times * 1e-9
    for i in range(1, len(times) - 1):
        h0, h1 = seconds[i] - seconds[i - 1], seconds[i + 1] - seconds[i]
        # Second derivatives of the two cubics that meet at knot i.
        left = (
            6 * (positions[i - 1] - positions[i]) / h0**2 + (2 * velocities[i - 1] + 4 * velocities[i]) / h0
        )
        right = (
            6 * (positions[i + 1] - positions[i]) / h1**2 - (4 * velocities[i] + 2 * velocities[i + 1]) / h1
        )
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_upsampling_leaves_other_messages_alone():
    with_velocities = Trajectory(0, JOINT, (Point(0, (0.0,), (1.0,)), Point(MS, (1.0,), (0.0,))))
    untimed = Trajectory(0, JOINT, (Point(0, (0.0,)), Point(0, (1.0,))))
    for message in (with_velocities, untimed, line(1.0, stamp_ns=0), Trajectory(0, JOINT, ())):
        assert upsampled(message, 0.0) == message


def test_untimed_chunks_get_the_rate_of_the_policy():
    c = controller(ROLLING, positions_upsampling=True, policy_frequency=50.0)
    untimed = Trajectory(0, JOINT, (Point(0, (0.0,)), Point(0, (1.0,)), Point(0, (2.0,))))
    assert [p.time_from_start_ns for p in upsampled(untimed, 50.0).points] == [20 * MS, 40 * MS, 60 * MS]
    assert c.accept(untimed, T0) is None
    assert run(c, T0, T0 + 60 * MS)[-1] == pytest.approx(2.0)


@pytest.mark.parametrize("release", (HUMBLE, JAZZY, KILTED))
def test_older_releases_do_not_upsample(release):
    untimed = Trajectory(0, JOINT, (Point(0, (0.0,)), Point(0, (1.0,))))
    reason = controller(release, positions_upsampling=True, policy_frequency=50.0).accept(untimed, T0)
    assert reason is not None


# -- not active ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ControllerRelease)
def test_an_inactive_controller_drops_messages_in_silence_and_keeps_its_command(release):
    c = controller(release)
    c.accept(line(0.0, 1.0, stamp_ns=T0), T0)
    command = run(c, T0, T0 + 50 * MS)[-1]
    c.deactivate()
    assert not c.is_active
    now = T0 + 50 * MS
    assert c.accept(line(5.0, 6.0, stamp_ns=now), now) is None
    assert c.ignored == 1
    assert (run(c, now, now + 50 * MS) == command).all()
    c.activate(np.array([0.3]))
    assert c.is_active
    later = now + 50 * MS
    assert (run(c, later, later + 50 * MS, measured=0.3) == command).all()
    assert not c.has_trajectory
    # What was running when it stopped does not continue, and the next plan starts wherever it says.
    c.accept(line(5.0, 6.0, stamp_ns=later - 50 * MS), later + 50 * MS)
    assert run(c, later + 50 * MS, later + 60 * MS)[0] >= 5.9


def test_activation_holds_the_measured_pose_if_the_command_is_nan():
    c = controller(KILTED)
    c.accept(line(float("nan"), stamp_ns=T0), T0)
    assert np.isnan(run(c, T0, T0 + PERIOD)).all()
    c.deactivate()
    c.activate(np.array([0.7]))
    assert c.broken_joints == ()
    np.testing.assert_array_equal(run(c, T0, T0 + PERIOD), [0.7])


def test_the_simulated_robot_has_the_controllers_of_its_settings():
    settings = dataclasses.replace(ControllerSettings(), release=HUMBLE)
    with BimanualSim(controllers=settings) as sim:
        assert {c.settings for c in sim.controllers.values()} == {settings}
