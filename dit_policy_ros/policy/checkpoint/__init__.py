# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders that both this package and LeRobot load.

Reading, writing and relocating them, download from the hub, and new policies with pretrained encoders.
"""

from dit_policy_ros.policy.checkpoint._encoder_files import write_encoder_files
from dit_policy_ros.policy.checkpoint._pretrained import pretrained_policy
from dit_policy_ros.policy.checkpoint._reader import (
    WEIGHTS_FILE,
    Checkpoint,
    CheckpointFacts,
    find_checkpoint,
    read_checkpoint,
)
from dit_policy_ros.policy.checkpoint._writer import relocate, write_checkpoint

__all__ = [
    "WEIGHTS_FILE",
    "Checkpoint",
    "CheckpointFacts",
    "find_checkpoint",
    "pretrained_policy",
    "read_checkpoint",
    "relocate",
    "write_checkpoint",
    "write_encoder_files",
]
