# SPDX-License-Identifier: Apache-2.0
"""Cameras of different sizes and aspects: the network sees the same pixels in training and on the robot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mostly_slow import mostly_slow

pytest.importorskip("lerobot", reason="lerobot is not installed")

from episodes import SPEC, frame, make

from dit_policy_ros.cli import train
from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.training.batches import BatchMaker

CAMERAS = (
    Camera("top", "/top", 60, 80, 0.2),
    Camera("wrist", "/wrist", 32, 64, 0.2),
    Camera("belly", "/belly", 38, 50, 0.2),  # this one has the size already
)
SIZES = {camera.name: (camera.height, camera.width) for camera in CAMERAS}
RESIZED = (38, 50)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sizes") / "data"
    writer = make(root, replace(SPEC, cameras=CAMERAS))
    random = np.random.default_rng(0)
    for index in range(12):
        images = {name: random.integers(0, 256, (*size, 3), dtype=np.uint8) for name, size in SIZES.items()}
        writer.add_frame(**(frame(0, index) | {"images": images}), task="touch")
    writer.save_episode()
    writer.finalize()
    return root


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "run"
    options = ["--steps", "1", "--batch-size", "2", "--warmup-steps", "1", "--device", "cpu", "--policy"]
    options += ["horizon=4", "n_action_steps=3", "num_inference_steps=2"]
    options += [f"image_resize_shape={list(RESIZED)}".replace(" ", ""), "image_crop_shape=[36,36]"]
    assert train.main(["--dataset", str(dataset), "--output", str(output), *options]) == 0
    return output / "checkpoints" / "last" / "pretrained_model"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("backend", mostly_slow(["eager", "plain"], 1))
def test_training_and_inference_prepare_an_image_alike_to_the_last_bit(
    dataset: Path, trained: Path, backend: str, stream: bool
) -> None:
    checkpoint = read_checkpoint(trained)
    data = read_demonstrations(dataset, size=RESIZED, stream=stream)
    batches = BatchMaker(data, checkpoint.policy.eval(), checkpoint.encoder_files.tokenizer)
    newest = np.array([3, 9])
    seen = batches.batch(newest).images  # (B, I, N, 3, h, w)
    assert seen is not None
    encoder = checkpoint.policy.observation_encoder
    policy = load_policy(trained, device="cpu", backend=backend)
    steps = seen.shape[1]
    for number, name in enumerate(SIZES):
        raw = read_demonstrations(dataset, (name,)).images[name]  # (M, H, W, 3), as the camera sends them
        for example, row in enumerate(newest):
            for step in range(steps):
                trained_on = encoder.resize_and_crop(seen[example, step, number][None])
                on_robot = policy.engine.frames._prepared(name, raw[row - steps + 1 + step])
                assert torch.equal(trained_on, on_robot), (name, row, step)


def test_the_checkpoint_expects_each_camera_in_its_own_size(dataset: Path, trained: Path) -> None:
    policy = load_policy(trained, device="cpu")
    assert policy.image_shapes == SIZES
    images = {
        name: np.stack([read_demonstrations(dataset, (name,)).images[name][5]] * policy.n_obs_steps)
        for name in SIZES
    }
    state = np.tile(np.array([0.0, 5.0, 0.5], np.float32), (policy.n_obs_steps, 1))
    actions = policy.predict(images, state, "touch")
    assert np.isfinite(actions).all()
    config = read_checkpoint(trained).config
    assert config.has_several_image_sizes and config.extensions["image_sizes"] == "several"
    assert config.input_features[f"{IMAGE_PREFIX}wrist"].shape == (3, 32, 64)


def test_another_run_continues_with_it(dataset: Path, trained: Path, tmp_path: Path) -> None:
    options = ["--steps", "1", "--batch-size", "2", "--warmup-steps", "1", "--device", "cpu"]
    begin = ["--dataset", str(dataset), "--output", str(tmp_path / "run"), "--init", str(trained)]
    assert train.main([*begin, *options]) == 0
