# SPDX-License-Identifier: Apache-2.0
"""config.json is read strictly: each error names the option and what was expected."""

from typing import Any

import pytest
from tiny_policy import IMAGE, tiny_config

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import PolicyConfig


def test_round_trip() -> None:
    config = tiny_config(cameras=2, drop_n_last_frames=2, tags=("a", "b"))
    assert PolicyConfig.from_mapping(config.to_mapping(), "config.json") == config


def test_a_minimal_config_gets_lerobots_defaults() -> None:
    features = {
        "input_features": {
            "observation.state": {"type": "STATE", "shape": [14]},
            "observation.images.top": {"type": "VISUAL", "shape": [3, 480, 640]},
        },
        "output_features": {"action": {"type": "ACTION", "shape": [14]}},
    }
    config = PolicyConfig.from_mapping({"type": "multi_task_dit", **features}, "config.json")
    assert (config.horizon, config.n_action_steps, config.n_obs_steps, config.hidden_dim) == (32, 24, 2, 512)
    assert config.crop_shape == (224, 224)
    assert config.sampling_steps == 100
    assert config.to_mapping()["drop_n_last_frames"] == 7


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"type": "act"},
            "type: expected 'multi_task_dit' (LeRobot's) or 'dit_policy_ros' (our extension), got 'act'",
        ),
        ({"guidance": 2.0}, "unknown option 'guidance'; valid options: "),
        ({"horizon": "32"}, "horizon: expected an integer, got '32'"),
        ({"horizon": True}, "horizon: expected an integer, got True"),
        ({"horizon": 8.5}, "horizon: expected an integer, got 8.5"),
        ({"horizon": 0}, "horizon: expected at least 1, got 0"),
        ({"n_obs_steps": 9}, "n_obs_steps: expected at most the horizon 8, got 9"),
        ({"n_action_steps": 8}, "n_action_steps: expected 1 to 7, got 8"),
        ({"dropout": float("nan")}, "dropout: expected a finite number, got nan"),
        ({"dropout": 1.5}, "dropout: expected 0 to 1, got 1.5"),
        ({"clip_sample": 1}, "clip_sample: expected true or false, got 1"),
        ({"objective": "gan"}, "objective: expected 'diffusion' or 'flow_matching', got 'gan'"),
        ({"num_heads": 3}, "num_heads: expected a divisor of hidden_dim, got 3"),
        ({"num_inference_steps": 21}, "num_inference_steps: expected 1 to num_train_timesteps (20)"),
        ({"image_resize_shape": [24]}, "image_resize_shape: expected a list of 2, got [24]"),
        ({"vision_encoder_name": "dinov3"}, "vision_encoder_name: expected a name containing 'clip'"),
        ({"normalization_mapping": {"STATE": "LOG"}}, "normalization_mapping.STATE: expected 'MIN_MAX' or"),
        ({"use_peft": True}, "use_peft: expected false"),
        ({"input_features": {}}, "input_features: expected a vector 'observation.state'"),
        (
            {"output_features": {"action": {"type": "ACTION"}}},
            "output_features.action: option 'shape' is missing",
        ),
        ({"output_features": None}, "output_features: expected an object, got None"),
    ],
)
def test_an_invalid_option_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json") as raised:
        PolicyConfig.from_mapping({**tiny_config().to_mapping(), **change}, "config.json")
    assert expected in str(raised.value)


def test_images_of_two_shapes_are_refused() -> None:
    mapping = tiny_config(cameras=2).to_mapping()
    mapping["input_features"]["observation.images.cam1"] = {"type": "VISUAL", "shape": [3, 10, 10]}
    with pytest.raises(CheckpointError, match="images of one shape"):
        PolicyConfig.from_mapping(mapping, "config.json")


def test_a_crop_larger_than_the_images_is_skipped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    config = PolicyConfig.from_mapping(
        {**tiny_config().to_mapping(), "image_crop_shape": [64, 64]}, "config.json"
    )
    assert config.crop_shape is None
    assert "not cropping" in caplog.text
    fits = tiny_config(image_resize_shape=None, image_crop_shape=IMAGE)
    assert fits.crop_shape == IMAGE


def test_only_sampling_options_can_be_overridden() -> None:
    config = tiny_config().with_overrides({"noise_scheduler_type": "DDIM", "num_inference_steps": 4})
    assert (config.noise_scheduler_type, config.sampling_steps) == ("DDIM", 4)
    with pytest.raises(
        CheckpointError, match=r"unknown option 'horizon'.*valid options: noise_scheduler_type"
    ):
        config.with_overrides({"horizon": 16})
    with pytest.raises(CheckpointError, match="valid options: num_integration_steps, integration_method"):
        tiny_config(objective="flow_matching").with_overrides({"num_inference_steps": 4})
    with pytest.raises(CheckpointError, match="'DDPM' or 'DDIM', got 'PNDM'"):
        config.with_overrides({"noise_scheduler_type": "PNDM"})
    with pytest.raises(CheckpointError, match="num_inference_steps: expected 1 to"):
        config.with_overrides({"num_inference_steps": 0})
