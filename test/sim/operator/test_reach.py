# SPDX-License-Identifier: Apache-2.0
"""How far along a movement is."""

from collections.abc import Callable

import numpy as np
import pytest

from dit_policy_ros.sim.operator._reach import early_peak, minimum_jerk


def course(progress: Callable[[float], float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of the duration (1001,), of the distance, and the speed between."""
    tau = np.linspace(0.0, 1.0, 1001)
    done = np.array([progress(float(each)) for each in tau])
    return tau, done, np.gradient(done, tau)


@pytest.mark.parametrize("progress", [minimum_jerk, early_peak])
def test_a_movement_goes_from_rest_to_rest_and_never_back(progress: Callable[[float], float]) -> None:
    _, done, speed = course(progress)
    assert done[0] == 0.0 and done[-1] == pytest.approx(1.0) and (np.diff(done) > 0).all()
    assert speed[[0, -1]] == pytest.approx([0.0, 0.0], abs=0.02)
    assert progress(-0.5) == 0.0 and progress(1.5) == pytest.approx(1.0)


def test_the_speed_peaks_early() -> None:
    tau, _, speed = course(early_peak)
    assert tau[speed.argmax()] == pytest.approx(0.35, abs=0.01)
    even, _, speed = course(minimum_jerk)
    assert even[speed.argmax()] == pytest.approx(0.5, abs=0.01)
    assert early_peak(0.1) > 4 * minimum_jerk(0.1), "it is seen to have begun"
