# SPDX-License-Identifier: Apache-2.0
"""Injected delays are found in synthetic signals, and what cannot be trusted is refused."""

import numpy as np
import pytest
from contracts import SMALL_CONTRACT

from dit_policy_ros.core.calibration import (
    ARM_SEARCH,
    CAMERA_SEARCH,
    ImageMotion,
    JointMotion,
    WiggleSettings,
    arm_latency,
    camera_latency,
    plan_wiggle,
)
from dit_policy_ros.core.errors import CalibrationError

TOLERANCE = 0.005  # [s]
LENGTH = 15.0  # [s]


def wiggle():
    controller = next(each.name for each in SMALL_CONTRACT.controllers if not each.gripper)
    settings = WiggleSettings(duration=LENGTH)
    pose = (SMALL_CONTRACT.limits.position_min + SMALL_CONTRACT.limits.position_max) / 2
    return plan_wiggle(SMALL_CONTRACT, controller, pose, settings)


def stamps(rate, rng, jitter=0.0, loss=0.0):
    times = np.arange(-1.0, LENGTH + 1.0, 1.0 / rate)
    times = np.sort(times + rng.uniform(-jitter, jitter, len(times)) / rate)
    return times[rng.random(len(times)) >= loss]


def commanded(motion):
    times = np.arange(-2.0, LENGTH + 2.0, 0.01)
    return JointMotion(times, motion.at(times))


def joints(motion, delay, rate, rng, noise=0.0, loss=0.0):
    """The joint states of an arm that follows with this delay [s]; noise [rad]."""
    times = stamps(rate, rng, 0.2, loss)
    exact = motion.at(times - delay)
    return JointMotion(times, exact + rng.normal(0.0, noise, exact.shape))


def moved(states):
    """The joints that were moved."""
    return JointMotion(states.times, states.positions[:, wiggle().amplitude > 0.0])


def images(motion, delay, rate, rng, noise=0.0, loss=0.0):
    """The image motion of a camera whose stamps are that late [s]; noise [grey levels]."""
    times = stamps(rate, rng, 0.1, loss)
    steps = np.linalg.norm(np.diff(motion.at(times - delay), axis=0), axis=1)
    # A picture's texture is finite: large motions differ less than in proportion. A camera has noise.
    changes = 1.0 + 8.0 * np.tanh(steps / 0.01) + rng.normal(0.0, noise, len(steps))
    return ImageMotion(times, np.maximum(changes, 0.01))


@pytest.mark.parametrize("seed", range(6))
def test_an_arms_delay_is_found(seed):
    rng, motion = np.random.default_rng(seed), wiggle()
    delay, rate = rng.uniform(0.0, 0.15), rng.choice([50.0, 100.0, 125.0, 500.0])
    states = joints(motion, delay, rate, rng, noise=rng.uniform(0.0, 0.002), loss=rng.uniform(0.0, 0.1))
    lag = arm_latency(commanded(motion), states, "arm", ARM_SEARCH)
    assert lag.seconds == pytest.approx(delay, abs=TOLERANCE)
    assert abs(lag.seconds - delay) <= 2.0 * lag.uncertainty + 0.001


@pytest.mark.parametrize("seed", range(6))
def test_a_cameras_delay_is_found_relative_to_the_joint_states(seed):
    rng, motion = np.random.default_rng(100 + seed), wiggle()
    delay, rate = rng.uniform(0.0, 0.15), rng.choice([25.0, 30.0, 60.0])
    arm_delay = rng.uniform(0.0, 0.15)  # plays no part: the joint states say where the arm is
    states = joints(motion, arm_delay, 125.0, rng, noise=0.0002)
    seen = images(motion, arm_delay + delay, rate, rng, noise=rng.uniform(0.0, 0.8), loss=rng.uniform(0, 0.1))
    lag = camera_latency(seen, moved(states), "top", CAMERA_SEARCH)
    assert lag.seconds == pytest.approx(delay, abs=TOLERANCE)


def test_a_delay_of_zero_is_no_special_case():
    rng, motion = np.random.default_rng(0), wiggle()
    lag = arm_latency(commanded(motion), joints(motion, 0.0, 125.0, rng), "arm", ARM_SEARCH)
    assert lag.seconds == pytest.approx(0.0, abs=0.001)


def test_more_noise_is_more_uncertainty():
    motion = wiggle()

    def uncertainty(noise):
        states = joints(motion, 0.05, 125.0, np.random.default_rng(3), noise=noise)
        return arm_latency(commanded(motion), states, "arm", ARM_SEARCH).uncertainty

    assert uncertainty(0.005) > uncertainty(0.0005)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda states: np.zeros_like(states), "were commanded to move, but did not"),
        (lambda states: 0.1 * states, "were commanded to move, but did not"),
        (lambda states: np.random.default_rng(1).normal(0.0, 0.05, states.shape), "correlation"),
        (lambda states: -states, "correlation"),
    ],
)
def test_an_arm_that_does_not_follow_is_refused(change, reason):
    rng, motion = np.random.default_rng(0), wiggle()
    states = joints(motion, 0.05, 125.0, rng)
    broken = JointMotion(states.times, change(states.positions - motion.pose) + motion.pose)
    with pytest.raises(CalibrationError, match=reason):
        arm_latency(commanded(motion), broken, "arm", ARM_SEARCH)


def test_a_delay_beyond_the_range_is_refused():
    rng, motion = np.random.default_rng(0), wiggle()
    with pytest.raises(CalibrationError, match=r"end of the range|correlation"):
        arm_latency(commanded(motion), joints(motion, 0.8, 125.0, rng), "arm", ARM_SEARCH)


def test_a_frozen_image_is_refused():
    rng, motion = np.random.default_rng(0), wiggle()
    seen = images(motion, 0.05, 30.0, rng)
    frozen = ImageMotion(seen.stamps, np.zeros_like(seen.changes))
    with pytest.raises(CalibrationError, match="frozen"):
        camera_latency(frozen, moved(joints(motion, 0.0, 125.0, rng)), "top", CAMERA_SEARCH)


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_that_sees_only_noise_is_refused(seed):
    rng, motion = np.random.default_rng(seed), wiggle()
    seen = images(motion, 0.05, 30.0, rng)
    noise = ImageMotion(seen.stamps, rng.uniform(0.5, 2.0, len(seen.changes)))
    with pytest.raises(CalibrationError, match="Does the camera see the arm"):
        camera_latency(noise, moved(joints(motion, 0.0, 125.0, rng)), "top", CAMERA_SEARCH)


def test_too_few_images_are_refused():
    rng, motion = np.random.default_rng(0), wiggle()
    seen = images(motion, 0.05, 3.0, rng)
    with pytest.raises(CalibrationError, match=r"only .* images"):
        camera_latency(seen, moved(joints(motion, 0.0, 125.0, rng)), "top", CAMERA_SEARCH)


def test_a_periodic_motion_is_ambiguous_and_refused():
    times = np.arange(-2.0, 16.0, 0.01)
    wave = JointMotion(times, np.sin(2 * np.pi * 5.0 * times)[:, None])
    rng = np.random.default_rng(0)
    states = JointMotion(times, wave.positions + rng.normal(0.0, 0.01, wave.positions.shape))
    with pytest.raises(CalibrationError, match="almost equally well"):
        arm_latency(wave, states, "arm", ARM_SEARCH)


def test_a_wiggle_stays_within_the_limits_and_ends_where_it_began():
    motion, limits = wiggle(), SMALL_CONTRACT.limits
    times = np.arange(-1.0, LENGTH + 1.0, 0.002)
    positions = motion.at(times)
    velocities = np.gradient(positions, 0.002, axis=0)
    accelerations = np.gradient(velocities, 0.002, axis=0)
    assert (positions > limits.position_min).all() and (positions < limits.position_max).all()
    assert (np.abs(velocities) <= 0.5 * limits.velocity).all()
    assert (np.abs(accelerations) <= 0.5 * limits.acceleration).all()
    assert (positions[[0, -1]] == motion.pose).all()
    assert (np.abs(velocities).max(axis=0) <= motion.peak_velocity * 1.01 + 1e-9).all()


def test_near_a_limit_a_joint_moves_less_and_at_it_not_at_all():
    contract = SMALL_CONTRACT
    controller = next(each for each in contract.controllers if not each.gripper)
    first = int(contract.indices(controller)[0])
    middle = (contract.limits.position_min + contract.limits.position_max) / 2
    near, at = middle.copy(), middle.copy()
    near[first] = contract.limits.position_max[first] - 0.05
    at[first] = contract.limits.position_max[first]
    amplitudes = [
        plan_wiggle(contract, controller.name, pose, WiggleSettings()).amplitude[first]
        for pose in (middle, near)
    ]
    assert 0.0 < amplitudes[1] < amplitudes[0]
    with pytest.raises(CalibrationError, match="no joint has room"):
        if len(controller.joints) == 1:
            plan_wiggle(contract, controller.name, at, WiggleSettings())
        else:
            edge = contract.limits.position_max.copy()
            plan_wiggle(contract, controller.name, edge, WiggleSettings())
