# SPDX-License-Identifier: Apache-2.0
"""config.json is read strictly: each error names the option and what was expected."""

import re
from pathlib import Path
from typing import Any

import pytest
from tiny_policy import IMAGE, tiny_config

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import EXTENDED_TYPE, PolicyConfig, read_json, usable_steps


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
        ({"n_action_steps": 9}, "n_action_steps: expected 1 to 8, got 9"),
        ({"horizon": float("inf")}, "horizon: expected an integer, got inf"),
        ({"horizon": float("nan")}, "horizon: expected an integer, got nan"),
        ({"horizon": 1e300}, "horizon: expected an integer, got 1e+300"),
        ({"horizon": 10**400}, "horizon: expected an integer, got 1000"),
        ({"horizon": 10**12}, "horizon: expected an integer of at most 2147483647, got 1000000000000"),
        ({"horizon": 10**9}, "horizon: expected at most 65536, got 1000000000"),
        ({"hidden_dim": 10**8}, "hidden_dim: expected at most 65536"),
        ({"num_layers": 10**6}, "num_layers: expected at most 1000"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps: expected at most 65536"),
        ({"rope_base": 1e300}, "rope_base: expected a finite number, got 1e+300"),
        ({"optimizer_lr": -(10**400)}, "optimizer_lr: expected a finite number, got -1000"),
        ({"objective": ["diffusion"]}, "objective: expected 'diffusion' or 'flow_matching', got ["),
        ({"objective": {}}, "objective: expected 'diffusion' or 'flow_matching', got {}"),
        ({"beta_start": 0.0}, "beta_start: expected more than 0, at most beta_end (0.02), got 0.0"),
        ({"beta_start": -0.1}, "beta_start: expected more than 0"),
        ({"beta_start": 0.1}, "beta_start: expected more than 0, at most beta_end (0.02), got 0.1"),
        ({"beta_end": 1.0}, "beta_end: expected less than 1, got 1.0"),
        (
            {"output_features": {"action": {"type": "ACTION", "shape": [10**8]}}},
            "output_features: expected shapes of 1 to 65536",
        ),
        (
            {"output_features": {"action": {"type": "ACTION", "shape": [0]}}},
            "output_features: expected shapes of 1 to 65536",
        ),
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


def test_images_of_two_shapes_need_a_size_to_which_all_are_resized() -> None:
    mapping = tiny_config(cameras=2).to_mapping() | {"image_resize_shape": None}
    mapping["input_features"]["observation.images.cam1"] = {"type": "VISUAL", "shape": [3, 10, 10]}
    with pytest.raises(CheckpointError, match="images of one shape, or an image_resize_shape"):
        PolicyConfig.from_mapping(mapping, "config.json")
    config = PolicyConfig.from_mapping(mapping | {"image_resize_shape": [20, 20]}, "config.json")
    assert config.has_several_image_sizes
    assert config.to_mapping()["type"] == EXTENDED_TYPE, "LeRobot's policy refuses it"


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


@pytest.mark.parametrize(
    ("trained", "usable"),
    [
        (100, [1, 2, 4, 5, 10, 20, 25, 50, 100]),
        (20, [1, 2, 4, 5, 10, 20]),
        (1, [1]),
        (13, [1, 2, 3, 4, 6, 13]),  # prime
    ],
)
def test_usable_numbers_of_steps_begin_where_the_schedule_does(trained: int, usable: list[int]) -> None:
    config = tiny_config(num_train_timesteps=trained)
    assert list(usable_steps(config)) == usable
    for steps in usable:
        begin = (steps - 1) * (trained // steps)
        assert trained - begin <= 2 * (trained // steps), "no more than one spacing is left out"


def test_every_number_of_integration_steps_is_usable() -> None:
    assert list(usable_steps(tiny_config(objective="flow_matching", num_integration_steps=7))) == [
        *range(1, 8)
    ]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (
            51,
            "num_inference_steps 51 does not divide the 100 training .* at step 50 of 99, .* 50 or 100",
        ),
        (60, "at step 59 of 99"),
        (90, "use 50 or 100"),
        (30, "at step 87 of 99, .* use 25 or 50"),
        (50, ""),
        (100, ""),
        (None, ""),
    ],
)
def test_a_partial_schedule_is_warned_of(
    caplog: pytest.LogCaptureFixture, steps: int | None, words: str
) -> None:
    stored = tiny_config(num_train_timesteps=100).to_mapping()
    PolicyConfig.from_mapping(stored | {"num_inference_steps": steps}, "config.json")
    stated = caplog.text
    caplog.clear()
    config = PolicyConfig.from_mapping(stored, "config.json")
    config.with_overrides({} if steps is None else {"sampling_steps": steps})
    for text in (stated, caplog.text):
        assert bool(text) == bool(words)
        assert re.search(words, text)


def test_more_action_steps_than_a_chunk_has_are_trimmed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = PolicyConfig.from_mapping({**tiny_config().to_mapping(), "n_action_steps": 8}, "config.json")
    assert "n_action_steps 8 is more than the 7 rows of a chunk" in caplog.text
    assert tiny_config(n_action_steps=8).to_mapping()["drop_n_last_frames"] == 0
    assert config.n_action_steps == 8


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested too deeply"),
        (b'{"horizon": ' + b"9" * 5000 + b"}", "is not readable JSON"),
        (b"\xff\xfe{}", "is not readable JSON"),
        (b" " * 17_000_000, "expected at most 16000000 bytes, got 17000000"),
    ],
)
def test_json_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json.*" + expected):
        read_json(path)


def test_json_may_begin_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"horizon": 8}')
    assert read_json(path) == {"horizon": 8}
