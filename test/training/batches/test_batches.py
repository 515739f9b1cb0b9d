# SPDX-License-Identifier: Apache-2.0
"""A batch holds the right frames, normalised, and nothing from outside its episode."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import Demonstrations, image_stats, vector_stats
from dit_policy_ros.data.dataset._demonstrations import Source
from dit_policy_ros.training.batches import BatchMaker, BatchOptions
from dit_policy_ros.training.batches._augmentation import Augmentation
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import can_cache_features


def make(data: Demonstrations | None = None, **options: object) -> BatchMaker:
    return BatchMaker(data or tiny_demonstrations(), random_policy(tiny_config(**options)), tiny_tokenizer())


def test_windows_stay_inside_their_episode() -> None:
    windows = make(n_obs_steps=3, horizon=6).windows(np.array([0, 5, 11, 12, 22]))  # episodes of 12 frames
    assert windows.observed.tolist() == [[0, 0, 0], [3, 4, 5], [9, 10, 11], [12, 12, 12], [20, 21, 22]]
    assert windows.commanded.tolist() == [
        [0, 0, 0, 1, 2, 3],  # begins n_obs_steps - 1 frames before the newest observation
        [3, 4, 5, 6, 7, 8],
        [9, 10, 11, 11, 11, 11],
        [12, 12, 12, 13, 14, 15],
        [20, 21, 22, 23, 23, 23],
    ]
    assert windows.is_pad.tolist() == [
        [True, True, False, False, False, False],
        [False] * 6,
        [False, False, False, True, True, True],
        [True, True, False, False, False, False],
        [False, False, False, False, True, True],
    ]


def test_a_batch_is_normalised_and_its_rows_match() -> None:
    data = tiny_demonstrations(cameras=2)
    maker = make(data, cameras=2)
    frames = np.array([3, 17])
    batch = maker.batch(frames)
    assert batch.images is not None and batch.images.shape == (2, 2, 2, 3, 30, 40)
    assert batch.state.shape == (2, 2, 5) and batch.action.shape == (2, 8, 4)
    low, high = data.action.min(0), data.action.max(0)
    expected = 2 * (data.action[17] - low) / (high - low) - 1
    np.testing.assert_allclose(batch.action[1, 1], expected, atol=1e-5)
    assert not torch.equal(batch.pooled_text[0], batch.pooled_text[1]), (
        "episodes 0 and 1 have different tasks"
    )
    stats = data.stats["observation.images.cam0"]
    pixel = (data.images["cam0"][17, 9, 11] / 255 - stats["mean"].ravel()) / stats["std"].ravel()
    np.testing.assert_allclose(batch.images[1, 1, 0, :, 9, 11], pixel, atol=1e-4)


def test_stored_features_give_the_same_loss_as_images() -> None:
    maker = make(cameras=1, image_resize_shape=(24, 24))
    policy = random_policy(maker.config)
    features = maker.encode_frames(policy)
    frames = np.arange(0, 48, 5)
    losses = []
    for batch in (maker.batch(frames), maker.batch(frames, features)):
        torch.manual_seed(0)
        losses.append(policy(batch).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("separate", [False, True])
def test_only_wanted_frames_are_encoded_and_reported(separate: bool) -> None:
    maker = make(
        tiny_demonstrations(cameras=2), cameras=2, use_separate_rgb_encoder_per_camera=separate, n_obs_steps=1
    )
    policy, reported = random_policy(maker.config), list[tuple[int, int]]()
    whole = maker.encode_frames(policy)
    wanted = np.arange(48) % 5 == 0
    some = maker.encode_frames(policy, wanted, lambda done, total: reported.append((done, total)))
    torch.testing.assert_close(some.of_frames(np.flatnonzero(wanted)), whole.parts[0][wanted])
    with pytest.raises(ValueError, match="the images of frame 1 were not encoded"):
        some.of_frames(np.array([[0, 1]]))
    assert reported[-1] == (20, 20)
    batch = maker.batch(np.arange(48))
    assert batch.images is not None
    torch.testing.assert_close(whole.parts[0], policy.observation_encoder.encode_images(batch.images)[:, 0])


def test_data_that_do_not_fit_the_policy_are_refused() -> None:
    data = tiny_demonstrations()
    with pytest.raises(DatasetError, match=r"reads the cameras \['cam0', 'cam1'\], missing: \['cam1'\]"):
        make(data, cameras=2)
    with pytest.raises(DatasetError, match="action: the policy expects 4 entries, got 3"):
        make(dataclasses.replace(data, action=data.action[:, :3]))
    with pytest.raises(DatasetError, match=r"camera cam0: expected \(30, 40\) pixels, got \(30, 41\)"):
        make(dataclasses.replace(data, image_shapes={"cam0": (30, 41)}))


def test_a_nan_is_reported_with_its_episode() -> None:
    data = tiny_demonstrations()
    state = data.state.copy()
    state[30, 2] = np.nan
    with pytest.raises(DatasetError, match="state is nan at frame 30 of the dataset, episode 2, entry 2"):
        dataclasses.replace(data, state=state)
    with pytest.raises(DatasetError, match="expected the length of state"):
        dataclasses.replace(data, action=data.action[:5])


def test_statistics_of_many_pixels_are_exact() -> None:
    images = np.full((300, 96, 128, 3), (118, 120, 125), np.uint8)
    stats = image_stats(images)
    np.testing.assert_allclose(stats["mean"].ravel(), np.array([118, 120, 125]) / 255, rtol=1e-6)
    np.testing.assert_allclose(stats["std"].ravel(), 0.0, atol=1e-6)


def test_only_training_drops_instructions_with_the_given_probability() -> None:
    data = tiny_demonstrations()
    policy = random_policy(tiny_config())
    maker = BatchMaker(data, policy, tiny_tokenizer(), options=BatchOptions(instruction_dropout=0.2))
    text = policy.observation_encoder.text_encoder
    nothing = text.pool(*tiny_tokenizer()([""]))[0]
    frames = np.tile(np.arange(48), 100)
    raw = dataclasses.replace(maker.read(frames), images=None)
    torch.manual_seed(0)
    batch = maker.collate(raw, training=True)
    is_dropped = torch.isclose(batch.pooled_text, nothing).all(dim=1)  # (B,)
    assert is_dropped.float().mean().item() == pytest.approx(0.2, abs=0.02)
    kept = text.pool(*tiny_tokenizer()(data.tasks))[torch.from_numpy(data.task_index[frames])]
    assert torch.allclose(batch.pooled_text[~is_dropped], kept[~is_dropped])
    assert torch.allclose(maker.collate(raw).pooled_text, kept), "only training drops instructions"


def test_given_statistics_replace_those_of_the_data() -> None:
    data = tiny_demonstrations()
    own = make(data).stats
    wider = {
        key: {name: 2 * value if name in ("min", "max") else value for name, value in group.items()}
        for key, group in own.items()
    }
    maker = BatchMaker(data, random_policy(tiny_config()), tiny_tokenizer(), wider)
    low, high = data.action.min(0), data.action.max(0)
    expected = 2 * (data.action[17] - 2 * low) / (2 * high - 2 * low) - 1
    np.testing.assert_allclose(maker.batch(np.array([3, 17])).action[1, 1], expected, atol=1e-5)


def test_augmentation_changes_colours_but_not_positions() -> None:
    torch.manual_seed(0)
    images = torch.full((6, 2, 2, 3, 8, 8), 0.2)
    images[..., 3:5, 3:5] = 0.6  # a bright square
    changed = Augmentation(1.0)(images)
    assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(changed[:, 0], changed[:, 1]), "the whole history changes alike"
    flat = changed[:, 0].mean(dim=(-1, -2))  # (B, N, 3)
    assert len({tuple(row.flatten().tolist()) for row in flat}) == 6, "each example changes by itself"
    assert not torch.equal(flat[:, 0], flat[:, 1]), "and so does each camera"
    inside, outside = changed[..., 3:5, 3:5], changed[..., 0, 0]
    assert (inside.mean(dim=(-1, -2)) > outside).all(), "the square does not move"


def test_features_are_cached_only_if_images_never_change() -> None:
    sizes = {"image_resize_shape": (27, 30), "image_crop_shape": (24, 24)}
    frozen = TrainConfig(vision_lr_multiplier=0.0)
    assert not can_cache_features(frozen, tiny_config(**sizes, image_crop_is_random=True))
    assert can_cache_features(frozen, tiny_config(**sizes, image_crop_is_random=False))
    assert can_cache_features(frozen, tiny_config())
    assert not can_cache_features(dataclasses.replace(frozen, augmentation=0.1), tiny_config())
    assert not can_cache_features(dataclasses.replace(frozen, vision_lr_multiplier=0.1), tiny_config())
    assert not can_cache_features(frozen, tiny_config(cameras=0))


def test_frames_are_named_as_in_their_own_dataset() -> None:
    two = (Source("dataset a"), Source("dataset b", first_frame=24, first_episode=2))
    data = dataclasses.replace(tiny_demonstrations(), sources=two)
    assert data.locate(13) == ("dataset a", 1, 13)
    assert data.locate(24) == ("dataset b", 0, 0) and data.locate(47) == ("dataset b", 1, 23)
    with pytest.raises(
        DatasetError, match="the instruction is empty at frame 12 of the dataset a, episode 1"
    ):
        dataclasses.replace(data, tasks=(data.tasks[0], " "))


def resting_demonstrations(noise: float) -> Demonstrations:
    """Demonstrations in which one joint rests."""
    data = tiny_demonstrations()
    rng = np.random.default_rng(1)
    for values in (data.state, data.action):
        values[:, 3] = 0.2 + noise * rng.standard_normal(len(values))
    stats = data.stats | {"observation.state": vector_stats(data.state), "action": vector_stats(data.action)}
    return dataclasses.replace(data, stats=stats)


@pytest.mark.parametrize("noise", [0.0, 1e-5, 1e-3])
def test_a_joint_that_rested_is_a_constant_in_training(
    noise: float, caplog: pytest.LogCaptureFixture
) -> None:
    maker = make(resting_demonstrations(noise))
    batch = maker.batch(np.arange(48))
    assert batch.state[..., 3].abs().max() < 0.6
    assert batch.action[..., 3].std() < 0.4, "noise is not what the network is to learn"
    assert maker.stats["observation.state"]["max"][3] - maker.stats["observation.state"]["min"][3] > 0.01
    assert "d hardly moved in the data" in caplog.text
    assert "state entry 2" not in caplog.text


def test_states_are_limited_by_foreign_statistics_as_at_inference(caplog: pytest.LogCaptureFixture) -> None:
    data, policy = tiny_demonstrations(), random_policy(tiny_config())
    own = BatchMaker(data, policy, tiny_tokenizer()).stats
    foreign = {key: dict(group) for key, group in own.items()}
    for name, value in (("min", 0.2), ("max", 0.2)):
        foreign["observation.state"][name] = own["observation.state"][name].clone()
        foreign["observation.state"][name][1] = value  # rested there, moves here
    batch = BatchMaker(data, policy, tiny_tokenizer(), foreign).batch(np.arange(48))
    assert torch.equal(batch.state[..., 1], torch.full_like(batch.state[..., 1], -1.0))
    assert "b hardly moved" in caplog.text
