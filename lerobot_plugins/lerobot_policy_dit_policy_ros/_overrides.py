# SPDX-License-Identifier: Apache-2.0
"""Which options can differ from a checkpoint's when it is loaded."""

import dataclasses
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import CONFIG_FILE
from dit_policy_ros.policy.config import SAMPLING_OPTIONS, PolicyConfig, read_json

_FREE = ("optimizer_", "scheduler_", "pretrained_")  # of training, and of LeRobot's bookkeeping
_FREE_NAMES = {
    "device",
    "drop_n_last_frames",
    "input_features",
    "license",
    "n_action_steps",
    "output_features",
    "private",
    "push_to_hub",
    "repo_id",
    "tags",
    "text_encoder_name",
    "use_amp",
    "use_peft",
    "vision_encoder_lr_multiplier",
    "vision_encoder_name",
}


def loading_overrides(wanted: PolicyConfig, folder: Path) -> dict[str, Any]:
    """The sampling options that differ from the checkpoint's.

    Args:
        wanted: the options with those of the command line.
        folder: the checkpoint.

    Raises:
        CheckpointError: another option of the network differs.
    """
    source = folder / CONFIG_FILE
    stored = PolicyConfig.from_mapping(read_json(source), str(source))
    differing = [
        field.name
        for field in dataclasses.fields(PolicyConfig)
        if getattr(wanted, field.name) != getattr(stored, field.name)
        and field.name not in _FREE_NAMES
        and not field.name.startswith(_FREE)
    ]
    sampling = SAMPLING_OPTIONS[stored.objective]
    if fixed := [name for name in differing if name not in sampling]:
        got = ", ".join(f"{name} {getattr(wanted, name)!r}" for name in fixed)
        expected = ", ".join(f"{name} {getattr(stored, name)!r}" for name in fixed)
        raise CheckpointError(
            f"--policy: expected the network of {source} ({expected}), got {got}; only {', '.join(sampling)} "
            f"can be changed without training"
        )
    return {name: getattr(wanted, name) for name in differing}
