# SPDX-License-Identifier: Apache-2.0
"""The same dataset and weights give the same training loss here and in LeRobot."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lerobot_parity import compare_gradients, load_theirs
from tiny_policy import IMAGE, TASKS, random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.dataset import DatasetSpec, read_demonstrations
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.policy.checkpoint import CheckpointFacts, read_checkpoint, write_checkpoint
from dit_policy_ros.policy.config import Feature, FeatureType, NormalizationMode, PolicyConfig
from dit_policy_ros.training.batches import BatchMaker

JOINTS, CAMERAS, FPS = ("a", "b", "c"), ("cam0", "cam1"), 30
LENGTHS = (9, 6)
FRAMES = np.array([0, 1, 5, 8, 9, 10, 14])  # the ends of both episodes, and frames between

pytestmark = pytest.mark.usefixtures("no_hub")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lerobot", reason="lerobot is not installed: datasets cannot be written")
    folder, rng = tmp_path_factory.mktemp("data") / "set", np.random.default_rng(0)
    cameras = [Camera(name, f"/{name}", *IMAGE, max_age=0.5) for name in CAMERAS]
    writer = DatasetWriter(folder, DatasetSpec(float(FPS), tuple(cameras), JOINTS, "test"))
    for length, task in zip(LENGTHS, TASKS, strict=True):
        for _ in range(length):
            images = {name: rng.integers(0, 256, (*IMAGE, 3), dtype=np.uint8) for name in CAMERAS}
            writer.add_frame(images, rng.normal(size=len(JOINTS)), rng.normal(size=len(JOINTS)), task)
        writer.save_episode()
    writer.finalize()
    return folder


def config_for(**options: Any) -> PolicyConfig:
    features = dict(tiny_config(cameras=2).input_features)
    features["observation.state"] = Feature(FeatureType.STATE, (len(JOINTS),))
    outputs = {"action": Feature(FeatureType.ACTION, (len(JOINTS),))}
    return tiny_config(input_features=features, output_features=outputs, **options)


def their_batch(root: Path, config: Any) -> dict[str, Any]:
    """The frames as `lerobot-train` loads and collates them."""
    from lerobot.datasets import LeRobotDataset

    steps = {"observation.state": config.observation_delta_indices, "action": config.action_delta_indices}
    steps |= dict.fromkeys(config.image_features, config.observation_delta_indices)
    seconds = {key: [index / FPS for index in indices] for key, indices in steps.items()}
    dataset = LeRobotDataset("local/test", root=root, delta_timestamps=seconds, video_backend="pyav")
    return torch.utils.data.default_collate([dataset[int(frame)] for frame in FRAMES])


@pytest.mark.parametrize(
    "options",
    [
        {"n_obs_steps": 2, "do_mask_loss_for_padding": True},
        {
            "n_obs_steps": 3,
            "objective": "flow_matching",
            "image_resize_shape": (27, 33),
            "image_crop_shape": (24, 24),
            "normalization_mapping": {
                "VISUAL": NormalizationMode.IDENTITY,
                "STATE": NormalizationMode.QUANTILES,
                "ACTION": NormalizationMode.MEAN_STD,
            },
        },
    ],
    ids=["diffusion, masked", "flow, cropped, quantiles"],
)
def test_the_same_loss(
    lerobot: SimpleNamespace, root: Path, tmp_path: Path, options: dict[str, Any], record_property: Any
) -> None:
    policy = random_policy(config_for(**options))
    batches = BatchMaker(read_demonstrations(root), policy, tiny_tokenizer())
    folder = tmp_path / "checkpoint"
    write_checkpoint(folder, policy, batches.stats, CheckpointFacts(), tiny_tokenizer())
    theirs, ours = load_theirs(lerobot, folder), read_checkpoint(folder).policy.train()
    torch.manual_seed(0)
    expected, _ = theirs.policy.train()(theirs.before(their_batch(root, theirs.policy.config)))
    expected.backward()
    torch.manual_seed(0)
    loss = ours(batches.batch(FRAMES))
    loss.backward()
    difference = abs(loss.item() - expected.item()) / expected.item()
    record_property("parity: dataset's loss, relative", difference)
    assert difference < 1e-5
    gradient = compare_gradients(dict(theirs.policy.named_parameters()), ours)
    record_property("parity: dataset's gradients", gradient)
    assert gradient < 1e-4
