# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.evaluation.episodes import rms_jerk


def test_jerk_is_the_third_derivative() -> None:
    """The root mean squares for sin(w t) and 2 sin(w t) are w^3 / sqrt(2) and twice that."""
    w, dt = 2 * np.pi, 0.01
    times = np.arange(101) * dt
    samples = [(round(t * 1e9), [w * np.cos(w * t), 2 * w * np.cos(w * t)]) for t in times]
    expected = w**3 * np.sqrt((1 + 4) / 2 / 2)
    assert rms_jerk(samples) == pytest.approx(expected, rel=0.02)
    with_gap = samples[:40] + samples[60:]  # samples across the gap do not count
    assert rms_jerk(with_gap) == pytest.approx(expected, rel=0.2)
    assert rms_jerk(samples[:2]) is None
