# SPDX-License-Identifier: Apache-2.0
"""Parity with LeRobot at the edges: odd sizes, extreme lengths, few and many entries, number formats."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lerobot_parity import compare_chunk, compare_training, load_theirs, training_frames
from safetensors.torch import load_file, save_file
from tiny_policy import IMAGE, save_tiny, tiny_config

from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.config import Feature, FeatureType, PolicyConfig

TOLERANCE = 1e-5  # normalised units, float32, the networks as trained
ENGINE_TOLERANCE = 1e-4  # restructured
GRADIENT_TOLERANCE = 1e-4  # relative

FEW = {"num_train_timesteps": 4, "num_integration_steps": 4}
FLOW = {"objective": "flow_matching"}
ONE_STEP = {"horizon": 1, "n_obs_steps": 1, "n_action_steps": 1}
LONG = {"horizon": 600, "n_action_steps": 599}

# state, action: entries. cameras: number. image: (height, width) [pixel]. weights: format on disk.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "4 cameras": {"cameras": 4},
    "4 cameras, each with its encoder": {"cameras": 4, "use_separate_rgb_encoder_per_camera": True},
    "horizon 1": ONE_STEP,
    "horizon 1, flow": ONE_STEP | FLOW,
    "horizon 2, all observed": {"horizon": 2, "n_obs_steps": 2, "n_action_steps": 1},
    "horizon 600": LONG,
    "horizon 600, flow": LONG | FLOW,
    "40 actions": {"action": 40},
    "40 actions, 40 states": {"action": 40, "state": 40},
    "40 actions, 1 state": {"action": 40, "state": 1},
    "1 state": {"state": 1},
    "1 state, 1 action": {"state": 1, "action": 1},
    "1 state, horizon 1": ONE_STEP | {"state": 1},
    "300 states": {"state": 300},
    "fp16 weights": {"weights": torch.float16},
    "bf16 weights": {"weights": torch.bfloat16},
    "fp64 weights": {"weights": torch.float64},
    "fp16 weights, flow": FLOW | {"weights": torch.float16},
    "bf16 weights, 4 cameras": {"weights": torch.bfloat16, "cameras": 4},
    "heads of 15": {"hidden_dim": 30, "num_heads": 2, "use_rope": False},
    "heads of 11": {"hidden_dim": 33, "num_heads": 3, "use_rope": False, "use_positional_encoding": True},
    "heads of 2": {"hidden_dim": 6, "num_heads": 3},
    "heads of 6": {"hidden_dim": 48, "num_heads": 8},
    "heads of 10, both positions": {"hidden_dim": 40, "num_heads": 4, "use_positional_encoding": True},
    "one head": {"hidden_dim": 34, "num_heads": 1},
    "heads of 1": {"hidden_dim": 8, "num_heads": 8, "use_rope": False},
    "5 observations": {"n_obs_steps": 5, "n_action_steps": 4},
    "as many observations as steps": {"n_obs_steps": 8, "n_action_steps": 1},
    "1 layer": {"num_layers": 1},
    "9 layers": {"num_layers": 9},
    "time embedding of 4": {"timestep_embed_dim": 4},
    "time embedding of 250": {"timestep_embed_dim": 250},
    "rope base 1": {"rope_base": 1.0},
    "sigma 0.5": FLOW | {"sigma_min": 0.5},
    "dropout 0.9": {"dropout": 0.9},
    "one training step": {"num_train_timesteps": 1},
    "one integration step, rk4": FLOW | {"num_integration_steps": 1, "integration_method": "rk4"},
    "one action executed": {"n_action_steps": 1},
    "wide images": {"image": (24, 120)},
    "large images": {"image": (120, 160), "cameras": 2},
    "all at once": LONG | {"cameras": 4, "state": 1, "action": 40, "weights": torch.bfloat16},
}

pytestmark = [pytest.mark.usefixtures("no_hub"), pytest.mark.slow]


def config_of(
    state: int = 5, action: int = 4, cameras: int = 1, image: tuple[int, int] = IMAGE, **options: Any
) -> PolicyConfig:
    images = {f"observation.images.cam{i}": Feature(FeatureType.VISUAL, (3, *image)) for i in range(cameras)}
    return tiny_config(
        **FEW
        | {
            "input_features": {**images, "observation.state": Feature(FeatureType.STATE, (state,))},
            "output_features": {"action": Feature(FeatureType.ACTION, (action,))},
        }
        | options
    )


def store_weights_as(folder: Path, kind: torch.dtype) -> None:
    path = folder / "model.safetensors"
    stored = {name: x.to(kind) if x.is_floating_point() else x for name, x in load_file(path).items()}
    save_file(stored, path, metadata={"format": "pt"})


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_odd_configurations(
    lerobot: SimpleNamespace, tmp_path: Path, name: str, record_property: Any
) -> None:
    options = dict(CONFIGURATIONS[name])
    kind, folder = options.pop("weights", None), tmp_path / "checkpoint"
    config = config_of(**options)
    save_tiny(folder, config)
    if kind is not None:
        store_weights_as(folder, kind)
    theirs, ours = load_theirs(lerobot, folder), load_policy(folder, backend="plain")
    chunk, robot_units = compare_chunk(theirs, ours)
    engine, _ = compare_chunk(theirs, load_policy(folder, backend="eager"))
    loss, gradient = compare_training(theirs, read_checkpoint(folder), training_frames(config))
    for what, value in (("chunk", chunk), ("engine", engine), ("loss", loss), ("gradients", gradient)):
        record_property(f"parity: {what}, odd shapes", value)
    assert chunk < TOLERANCE
    assert engine < ENGINE_TOLERANCE
    assert robot_units < TOLERANCE * 2
    assert loss < TOLERANCE
    assert gradient < GRADIENT_TOLERANCE
