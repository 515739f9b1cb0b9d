# SPDX-License-Identifier: Apache-2.0
"""Loads the policy that is evaluated."""

import hashlib
from pathlib import Path
from typing import Any

from dit_policy_ros.core.policy_interface import Policy, match_policy
from dit_policy_ros.evaluation.episodes._settings import EvaluationSettings
from dit_policy_ros.sim.robot import JOINTS
from dit_policy_ros.sim.vectors import SIM_VECTORS


def load_policy_of(settings: EvaluationSettings) -> Policy:
    """The policy, with its sampling options. Raises CheckpointError."""
    from dit_policy_ros.policy import load_policy  # torch takes seconds to import

    steps = settings.num_inference_steps
    options: dict[str, Any] = {} if steps is None else {"sampling_steps": steps}
    policy = load_policy(
        settings.checkpoint, settings.device, guidance_scale=settings.guidance_scale, **options
    )
    return match_policy(policy, JOINTS, vectors=SIM_VECTORS)


def weights_hash(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint's weights. Raises CheckpointError."""
    from dit_policy_ros.policy.checkpoint import WEIGHTS_FILE, find_checkpoint

    return hashlib.sha256((find_checkpoint(checkpoint) / WEIGHTS_FILE).read_bytes()).hexdigest()
