# SPDX-License-Identifier: Apache-2.0
"""Each camera frame is encoded once, and a frame is identified by its pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_policy import TASKS, random_observation, save_tiny, tiny_config
from tiny_variants import DDIM, infer, save

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.policy import load_policy

TOLERANCE = 1e-5  # robot units; the widest span of the made-up statistics is 1.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "checkpoint", tiny_config(cameras=2, **DDIM))


def test_a_frame_is_encoded_once(folder: Path) -> None:
    policy, plain = load_policy(folder), load_policy(folder, backend="plain")
    (images, state), noise = random_observation(policy.checkpoint.config), np.zeros((8, 4), np.float32)
    policy.predict(images, state, TASKS[0], noise)
    assert policy.engine.frames.encoded == 4
    newer, _ = random_observation(policy.checkpoint.config, 1)
    moved = {name: np.stack((image[1], newer[name][1])) for name, image in images.items()}
    got = policy.predict(moved, state, TASKS[1], noise)
    assert policy.engine.frames.encoded == 6, "the older frames were in the cache"
    expected = plain.predict(moved, state, TASKS[1], noise)
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    still = {name: np.stack((image[1], image[1])) for name, image in newer.items()}
    policy.predict(still, state, TASKS[0], noise)
    assert policy.engine.frames.encoded == 6


def test_frames_can_be_encoded_ahead(folder: Path) -> None:
    policy = load_policy(folder)
    images, state = random_observation(policy.checkpoint.config)
    policy.encode(images)
    assert policy.engine.frames.encoded == 4
    noise = np.zeros((8, 4), np.float32)
    got = policy.predict(images, state, TASKS[0], noise)
    assert policy.engine.frames.encoded == 4
    expected = load_policy(folder, backend="plain").predict(images, state, TASKS[0], noise)
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    with pytest.raises(StreamError, match="expected the checkpoint's cameras"):
        policy.encode({})


@pytest.mark.parametrize("separate", [False, True])
def test_warm_up_runs_every_number_of_new_frames(tmp_path: Path, separate: bool) -> None:
    """A CUDA graph is for one number of frames; all are captured before the robot moves."""
    options = DDIM | {"cameras": 3, "use_separate_rgb_encoder_per_camera": separate}
    policy = load_policy(save(tmp_path / "checkpoint", **options), backend="eager")
    seen: list[list[int]] = []
    for network in dict.fromkeys(policy.engine.frames._networks.values()):
        counts: list[int] = []
        seen.append(counts)
        network.register_forward_hook(lambda _, inputs, __, counts=counts: counts.append(len(inputs[0])))
    with torch.inference_mode():
        policy.engine.frames.warm_up()
    assert seen == ([[1, 2]] * 3 if separate else [[1, 2, 3, 4, 5, 6]])
    assert policy.engine.frames.encoded == 0 and not policy.engine.frames._features


def test_a_frame_with_one_changed_pixel_is_a_new_frame(folder: Path) -> None:
    policy = load_policy(folder)
    images, state = random_observation(policy.checkpoint.config)
    noise = np.zeros((8, 4), np.float32)
    before = policy.predict(images, state, TASKS[0], noise)
    images["cam0"][1, 3, 4, 0] ^= 255  # in place: the same array, another image
    after = policy.predict(images, state, TASKS[0], noise)
    assert policy.engine.frames.encoded == 5
    assert not np.array_equal(before, after)


def test_the_same_pixels_of_two_cameras_are_two_frames(folder: Path) -> None:
    """Each camera has its own normalisation statistics."""
    policy, plain = load_policy(folder), load_policy(folder, backend="plain")
    images, state = random_observation(policy.checkpoint.config)
    images["cam1"] = images["cam0"]
    noise = np.zeros((8, 4), np.float32)
    got, expected = (p.predict(images, state, TASKS[0], noise) for p in (policy, plain))
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    assert policy.engine.frames.encoded == 4


def test_old_frames_are_dropped_from_the_cache(folder: Path) -> None:
    policy = load_policy(folder)
    for seed in range(40):
        infer(policy, seed)
    kept = len(policy.engine.frames._features)
    assert kept == policy.engine.frames._capacity < 40 * 4
    encoded = policy.engine.frames.encoded
    infer(policy, 39)
    assert policy.engine.frames.encoded == encoded
    infer(policy, 0)
    assert policy.engine.frames.encoded == encoded + 4
