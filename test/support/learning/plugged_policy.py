# SPDX-License-Identifier: Apache-2.0
"""Policies as LeRobot's commands load and run them, with this project's plugin."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors
from lerobot.rollout.inference.sync import SyncInferenceEngine
from numpy.typing import NDArray
from tiny_policy import TASKS, random_observation

import lerobot_policy_dit_policy_ros  # noqa: F401 - registers the type
from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX
from dit_policy_ros.policy.config import PolicyConfig

STATE = "observation.state"
ACTIONS = [f"{name}.pos" for name in "abcd"]
Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy with its processors, as `lerobot-rollout` has them."""

    policy: Any
    before: Any
    after: Any

    def engine(self) -> SyncInferenceEngine:
        features = {"action": {"names": ACTIONS}}
        return SyncInferenceEngine(
            self.policy, self.before, self.after, features, ACTIONS, TASKS[1], "cpu", "robot"
        )


def load_as_rollout(path: Path, *overrides: str, ours: bool = True) -> Loaded:
    """Load a checkpoint.

    ours: with `--policy.type=dit_policy_ros --policy.pretrained_path`; otherwise with `--policy.path`, which
    runs what config.json says.
    """
    if ours:
        config = make_policy_config("dit_policy_ros", pretrained_path=path, device="cpu")
    else:
        config = PreTrainedConfig.from_pretrained(path, cli_overrides=["--device=cpu", *overrides])
        config.pretrained_path = path
    policy = get_policy_class(config.type).from_pretrained(path, config=config).eval()
    processors = make_pre_post_processors(
        config,
        pretrained_path=str(config.pretrained_path),
        preprocessor_overrides={"device_processor": {"device": "cpu"}},
    )
    return Loaded(policy, *processors)


def frames(config: PolicyConfig, count: int) -> list[Frame]:
    """Observations of consecutive periods, as LeRobot's control loop has them: images uint8 (H, W, 3)."""
    made = []
    for seed in range(count):
        images, state = random_observation(config, seed)
        frame: Frame = {IMAGE_PREFIX + name: image[-1] for name, image in images.items()}
        made.append({**frame, STATE: state[-1]})
    return made


def history(
    made: list[Frame], index: int, steps: int
) -> tuple[dict[str, NDArray[np.uint8]], NDArray[np.float32]]:
    """The last observations up to a frame, as ``Policy.predict`` takes them."""
    seen = [made[max(i, 0)] for i in range(index - steps + 1, index + 1)]
    images = {
        key.removeprefix(IMAGE_PREFIX): np.stack([frame[key] for frame in seen])
        for key in seen[0]
        if key != STATE
    }
    return images, np.stack([frame[STATE] for frame in seen])


def seeded(seed: int, call: Any, *arguments: Any) -> Any:
    torch.manual_seed(seed)
    return call(*arguments)
