# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders that both this package and LeRobot load.

Reading, writing and relocating them, download from the hub, and new policies with pretrained encoders.
"""

from dit_policy_ros.policy.checkpoint._encoder_files import write_encoder_files
from dit_policy_ros.policy.checkpoint._hash import checkpoint_hash
from dit_policy_ros.policy.checkpoint._hub import pinned
from dit_policy_ros.policy.checkpoint._instructions import (
    INSTRUCTIONS_FILE,
    KnownInstructions,
    read_instructions,
    write_instructions,
)
from dit_policy_ros.policy.checkpoint._pretrained import check_encoders, pretrained_policy
from dit_policy_ros.policy.checkpoint._reader import (
    ACTIONS_FILE,
    CONFIG_FILE,
    FACTS_FILE,
    FORMATS,
    WEIGHTS_FILE,
    Checkpoint,
    CheckpointFacts,
    check_finite_weights,
    find_checkpoint,
    find_folder,
    read_checkpoint,
    read_facts,
    read_known_tasks,
    read_wording_model,
)
from dit_policy_ros.policy.checkpoint._writer import facts_text, relocate, write_checkpoint

__all__ = [
    "ACTIONS_FILE",
    "CONFIG_FILE",
    "FACTS_FILE",
    "FORMATS",
    "INSTRUCTIONS_FILE",
    "WEIGHTS_FILE",
    "Checkpoint",
    "CheckpointFacts",
    "KnownInstructions",
    "check_encoders",
    "check_finite_weights",
    "checkpoint_hash",
    "facts_text",
    "find_checkpoint",
    "find_folder",
    "pinned",
    "pretrained_policy",
    "read_checkpoint",
    "read_facts",
    "read_instructions",
    "read_known_tasks",
    "read_wording_model",
    "relocate",
    "write_checkpoint",
    "write_encoder_files",
    "write_instructions",
]
