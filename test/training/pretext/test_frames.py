# SPDX-License-Identifier: Apache-2.0
"""What the demonstrations' own frames give to learn from."""

import numpy as np
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.pretext import FrameImages, choose_frames, coming_states

KEY = "observation.images.cam0"


def test_the_coming_motion_ends_with_the_episode() -> None:
    data = tiny_demonstrations(episodes=2, length=40)  # at 30 Hz: 8, 15 and 30 frames ahead
    coming = coming_states(data, np.array([0, 20, 39, 41]))
    state, width = data.state, data.state.shape[1]
    for row, (frame, later) in enumerate(((0, (8, 15, 30)), (20, (28, 35, 39)), (39, (39, 39, 39)))):
        expected = np.concatenate([state[other] - state[frame] for other in later])
        np.testing.assert_array_equal(coming[row], expected)
    np.testing.assert_array_equal(coming[3, :width], state[49] - state[41])


def test_frames_are_chosen_evenly_among_the_usable_ones() -> None:
    data = tiny_demonstrations(episodes=2, length=20)
    usable = np.arange(40) < 20
    chosen = choose_frames(data, [KEY], usable, 5, "joints")
    np.testing.assert_array_equal(chosen.targets, data.state[[0, 5, 10, 14, 19]])
    np.testing.assert_array_equal(chosen.images[:, 0], data.images["cam0"][[0, 5, 10, 14, 19]])
    assert len(choose_frames(data, [KEY], usable, 999, "coming").targets) == 20


def test_images_are_those_of_training_and_change_only_while_the_encoder_learns() -> None:
    data, policy = tiny_demonstrations(), random_policy(tiny_config())
    batches, encoder = BatchMaker(data, policy, tiny_tokenizer()), policy.observation_encoder
    chosen = choose_frames(data, [KEY], np.ones(len(data.state), bool), 8, "joints")
    images = FrameImages(chosen, [batches.scales[KEY]], encoder, 1.0, torch.device("cpu"))
    frames = np.flatnonzero((data.state[:, None] == chosen.targets[None, 3]).all(axis=2).any(axis=1))
    seen = batches.batch(frames).images
    assert seen is not None
    expected = encoder.resize_and_crop(seen[:, -1, 0])
    torch.testing.assert_close(images(np.array([3])), expected[:1], atol=1e-5, rtol=0.0)
    encoder.train()
    assert not torch.allclose(images(np.array([3])), expected[:1], atol=1e-3)
