# SPDX-License-Identifier: Apache-2.0
"""Limits from demonstrations cover what the joints did, and are not made of noise."""

import numpy as np
import pytest

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.recording import demonstrated_limits


def swing(fps: float, amplitude: float, frequency: float, seconds: float = 6.0) -> np.ndarray:
    """A sine: its peaks are amplitude * w and amplitude * w^2."""
    times = np.arange(round(seconds * fps)) / fps
    return amplitude * np.sin(2.0 * np.pi * frequency * times)


def peaks(amplitude: float, frequency: float) -> tuple[float, float]:
    w = 2.0 * np.pi * frequency
    return amplitude * w, amplitude * w**2


@pytest.mark.parametrize("fps", [15.0, 30.0, 50.0, 100.0])
@pytest.mark.parametrize("noise", [0.0, 2e-4])
def test_limits_cover_a_known_motion_at_any_rate_and_with_noise(fps: float, noise: float) -> None:
    rng = np.random.default_rng(0)
    episodes = [
        np.stack([swing(fps, 0.5, 0.5), swing(fps, 0.02, 0.4)], axis=1) + noise * rng.normal(size=(n, 2))
        for n in [round(6 * fps)] * 3
    ]
    found = demonstrated_limits(episodes, fps)
    for joint, (speed, acceleration) in enumerate((peaks(0.5, 0.5), peaks(0.02, 0.4))):
        assert speed < found.velocity[joint] < 1.7 * speed
        # 2e-4 of 0.02 is much: there only the order of magnitude counts
        assert acceleration < found.acceleration[joint] < (1.7 if joint == 0 else 12.0) * acceleration


def test_a_joint_that_rests_is_said_to_be_unknown_although_its_encoder_is_noisy() -> None:
    rng = np.random.default_rng(0)
    states = np.stack([swing(30, 0.5, 0.5), rng.normal(scale=1e-3, size=180)], axis=1)
    found = demonstrated_limits([states], 30.0)
    assert found.moved.tolist() == [True, False]
    assert np.isfinite(found.velocity[0]) and np.isnan(found.velocity[1]) and np.isnan(found.acceleration[1])


def test_a_joint_that_moves_for_a_moment_only_gets_the_limits_of_that_moment() -> None:
    """A quantile over all frames would be that of standing."""
    fps, motion = 30.0, swing(30, 0.5, 0.5)
    rest = np.zeros(3000)
    states = np.stack([np.concatenate([rest, motion, rest]), np.tile(swing(30, 0.5, 0.5, 2.0), 103)], axis=1)
    found = demonstrated_limits([states], fps)
    speed, acceleration = peaks(0.5, 0.5)
    assert speed < found.velocity[0] and acceleration < found.acceleration[0]


def test_one_glitch_of_an_encoder_does_not_count() -> None:
    states = np.tile(swing(30, 0.5, 0.5), 10)[:, None]
    glitch = states.copy()
    glitch[500] += 1.0
    clean, found = demonstrated_limits([states], 30.0), demonstrated_limits([glitch], 30.0)
    assert found.velocity[0] < 1.1 * clean.velocity[0]
    assert found.acceleration[0] < 1.1 * clean.acceleration[0]


def test_a_continuous_joint_does_not_jump_when_it_passes_the_end_of_its_range() -> None:
    angle = np.arange(300) / 30.0  # 1 rad/s
    wrapped = (angle + np.pi) % (2.0 * np.pi) - np.pi
    found = demonstrated_limits([wrapped[:, None]], 30.0, np.array([True]))
    assert found.velocity[0] == pytest.approx(1.5)
    assert found.acceleration[0] < 1e-6
    # Turns differ from episode to episode; that is no motion.
    still = [np.full((60, 1), 3.14), np.full((60, 1), -3.14)]
    assert not demonstrated_limits(still, 30.0, np.array([True])).moved[0]


def test_short_episodes_are_left_out_and_refused_if_there_are_no_others() -> None:
    long, short = swing(30, 0.5, 0.5)[:, None], np.zeros((4, 1))
    with_short = demonstrated_limits([short, long], 30.0)
    assert with_short.frames == demonstrated_limits([long], 30.0).frames
    with pytest.raises(DatasetError, match="at least 7 frames"):
        demonstrated_limits([short], 30.0)
    with pytest.raises(DatasetError, match="at least 7 frames"):
        demonstrated_limits([], 30.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_states_that_are_not_finite_are_refused(bad: float) -> None:
    states = swing(30, 0.5, 0.5)[:, None]
    states[10] = bad
    with pytest.raises(DatasetError, match="finite"):
        demonstrated_limits([states], 30.0)
