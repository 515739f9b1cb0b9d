# SPDX-License-Identifier: Apache-2.0
"""What a plan commands outside its knots."""

import numpy as np

from dit_policy_ros.core.motion import Plan


def test_before_the_first_knot_and_after_the_last_one_it_stands() -> None:
    times_ns = np.array([1_000_000_000, 2_000_000_000])
    plan = Plan(times_ns, np.array([[0.5], [1.5]]), np.array([[1.0], [1.0]]))
    positions, velocities = plan.sample(np.array([0, 1_000_000_000, 1_500_000_000, 2_000_000_000, 10**10]))
    np.testing.assert_allclose(positions[:, 0], [0.5, 0.5, 1.0, 1.5, 1.5])
    np.testing.assert_allclose(velocities[:, 0], [0.0, 1.0, 1.0, 1.0, 0.0])
