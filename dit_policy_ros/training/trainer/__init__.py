# SPDX-License-Identifier: Apache-2.0
"""A training run: loop, schedule, validation, log and checkpoints on disk.

Runs on one device, or on several with `accelerate launch`.
"""

from dit_policy_ros.training.reading import LeftOut, TrainObserver, can_cache_features
from dit_policy_ros.training.trainer._accelerator import make_accelerator
from dit_policy_ros.training.trainer._optimization import make_schedule
from dit_policy_ros.training.trainer._run import Run, batch_options, make_trainer, make_unified_trainer
from dit_policy_ros.training.trainer._run_folder import CONFIG_FILE, RunFolder, read_config
from dit_policy_ros.training.trainer._train_policy import TrainResult, train_policy
from dit_policy_ros.training.trainer._trainer import Trainer
from dit_policy_ros.training.trainer._validation import Scores, score_policy

__all__ = [
    "CONFIG_FILE",
    "LeftOut",
    "Run",
    "RunFolder",
    "Scores",
    "TrainObserver",
    "TrainResult",
    "Trainer",
    "batch_options",
    "can_cache_features",
    "make_accelerator",
    "make_schedule",
    "make_trainer",
    "make_unified_trainer",
    "read_config",
    "score_policy",
    "train_policy",
]
