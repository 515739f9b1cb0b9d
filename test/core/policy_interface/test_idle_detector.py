# SPDX-License-Identifier: Apache-2.0
import numpy as np

from dit_policy_ros.core.policy_interface import IdleDetector

SECOND = 1_000_000_000


def test_time_counts_from_the_last_motion_that_was_noticeable():
    watch = IdleDetector(np.array([0.02, 0.004]))
    assert watch.update(np.zeros(2), 0) == 0.0
    assert watch.update(np.array([0.015, 0.0]), 2 * SECOND) == 2.0, "noise is no motion"
    assert watch.update(np.array([-0.015, 0.003]), 3 * SECOND) == 3.0, "nor is trembling to and fro"
    assert watch.update(np.array([0.0, 0.005]), 4 * SECOND) == 0.0, "a gripper has a measure of its own"
    assert watch.update(np.array([0.0, 0.005]), 6 * SECOND) == 2.0


def test_slow_motion_is_motion():
    watch = IdleDetector(np.array([0.02]))
    longest = max(watch.update(np.array([0.01 * t]), round(t * SECOND)) for t in np.arange(0.0, 30.0, 0.1))
    assert longest < 2.2  # 0.01 rad/s leaves 0.02 rad every two seconds


def test_a_restart_forgets():
    watch = IdleDetector(np.array([0.02]))
    watch.update(np.zeros(1), 0)
    watch.reset()
    assert watch.update(np.zeros(1), 9 * SECOND) == 0.0


def test_the_callers_array_may_change_afterwards():
    watch = IdleDetector(np.array([0.02]))
    pose = np.zeros(1)
    watch.update(pose, 0)
    pose[:] = 1.0
    assert watch.update(pose, SECOND) == 0.0
