# SPDX-License-Identifier: Apache-2.0
"""The way to the rest pose: how long it takes, which way a joint turns, and where it begins and ends."""

import numpy as np
import pytest

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion import Plan
from dit_policy_ros.core.takeover import HomingLead

S = 1_000_000_000
T0 = 1_790_000_000 * S
VELOCITY, ACCELERATION = 2.0, 4.0  # [rad/s], [rad/s^2]


def limits(endless=False, acceleration=ACCELERATION):
    reach = np.array([np.inf if endless else 7.0])
    return Limits(-reach, reach, np.array([VELOCITY]), np.array([acceleration]))


def homing(pose, at=0.0, **options):
    """From rest at `at`, reached half a second after T0, in which the arms brake."""
    base = Plan(T0 + S // 2 * np.arange(3), np.full((3, 1), at), np.zeros((3, 1)))
    scale = options.pop("velocity_scale", 1.0)
    return HomingLead(base, np.array([pose]), limits(**options), scale)


def speeds(lead):
    """Positions (K,), velocities and accelerations at each millisecond."""
    times_ns = T0 + np.arange(0, lead.end_ns - T0 + S, S // 1000)
    positions = lead.actions(times_ns)[:, 0]
    velocities = np.diff(positions) * 1000.0
    return positions, velocities, np.diff(velocities) * 1000.0


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.1])
def test_a_fifth_of_the_scaled_velocity_is_reached_and_not_passed(scale):
    _, velocities, _ = speeds(homing(3.0, velocity_scale=scale))
    assert np.isclose(velocities.max(), 0.2 * scale * VELOCITY, rtol=1e-3)


def test_a_weak_joint_takes_its_acceleration_into_account():
    _, velocities, accelerations = speeds(homing(3.0, acceleration=0.1))
    assert np.isclose(np.abs(accelerations).max(), 0.3 * 0.1, rtol=1e-2)
    assert velocities.max() < 0.2 * VELOCITY


def test_it_begins_after_the_brake_ends_at_the_pose_and_takes_a_second_at_least():
    lead = homing(0.01)
    positions, _, _ = speeds(lead)
    assert lead.end_ns == T0 + S // 2 + S and lead.duration == 1.0
    assert not positions[:500].any() and positions[-1] == pytest.approx(0.01)
    assert homing(0.0).duration == 1.0


@pytest.mark.parametrize(("endless", "end"), [(True, 2.0 * np.pi - 0.1), (False, -0.1)])
def test_a_joint_that_turns_takes_the_short_way(endless, end):
    positions, _, _ = speeds(homing(-0.1, at=6.0, endless=endless))
    assert positions[-1] == pytest.approx(end)


def test_the_text_says_how_long_it_takes_and_what_to_do_then():
    lead = homing(3.0)
    assert lead.fault(T0) == "" and lead.text.startswith("the arms move to the rest pose, ")
    assert lead.fault(lead.end_ns) == "" and "~/resume" in lead.text
