# SPDX-License-Identifier: Apache-2.0
import numpy as np

from dit_policy_ros.core.policy_interface import IdleDetector

SECOND = 1_000_000_000


def test_idle_time_counts_from_the_last_motion_above_the_threshold():
    detector = IdleDetector(np.array([0.02, 0.004]))
    assert detector.update(np.zeros(2), 0) == 0.0
    assert detector.update(np.array([0.015, 0.0]), 2 * SECOND) == 2.0, "noise does not count"
    assert detector.update(np.array([-0.015, 0.003]), 3 * SECOND) == 3.0, "nor does trembling"
    assert detector.update(np.array([0.0, 0.005]), 4 * SECOND) == 0.0, "a gripper has its own threshold"
    assert detector.update(np.array([0.0, 0.005]), 6 * SECOND) == 2.0


def test_slow_motion_is_not_idle():
    detector = IdleDetector(np.array([0.02]))
    longest = max(detector.update(np.array([0.01 * t]), round(t * SECOND)) for t in np.arange(0.0, 30.0, 0.1))
    assert longest < 2.2  # 0.01 rad/s exceeds 0.02 rad every two seconds


def test_reset_restarts_the_idle_time():
    detector = IdleDetector(np.array([0.02]))
    detector.update(np.zeros(1), 0)
    detector.reset()
    assert detector.update(np.zeros(1), 9 * SECOND) == 0.0


def test_the_callers_array_may_change_afterwards():
    detector = IdleDetector(np.array([0.02]))
    pose = np.zeros(1)
    detector.update(pose, 0)
    pose[:] = 1.0
    assert detector.update(pose, SECOND) == 0.0
