# SPDX-License-Identifier: Apache-2.0
"""The training run: loop, schedule, validation, logs and checkpoints on disk.

Runs on one device, or on several by `accelerate launch`.
"""

from dit_policy_ros.training.trainer._optimization import make_schedule
from dit_policy_ros.training.trainer._run import Run
from dit_policy_ros.training.trainer._run_folder import CONFIG_FILE, RunFolder, read_config
from dit_policy_ros.training.trainer._trainer import Trainer, can_cache_features, make_accelerator
from dit_policy_ros.training.trainer._validation import Scores

__all__ = [
    "CONFIG_FILE",
    "Run",
    "RunFolder",
    "Scores",
    "Trainer",
    "can_cache_features",
    "make_accelerator",
    "make_schedule",
    "read_config",
]
