# SPDX-License-Identifier: Apache-2.0
"""Pre- and postprocessing: input checks, normalisation, tokens, relative actions.

Reads and writes LeRobot's pre- and postprocessor files.
"""

from dit_policy_ros.policy.processing._input_check import check_array, check_images
from dit_policy_ros.policy.processing._normalize import Normalizer, make_normalizer
from dit_policy_ros.policy.processing._processors import (
    DEFAULT_EPS,
    POSTPROCESSOR,
    PREPROCESSOR,
    Processors,
    Stats,
    read_processors,
    read_stats,
    write_processors,
)
from dit_policy_ros.policy.processing._relative_actions import action_origin
from dit_policy_ros.policy.processing._tokens import EMPTY_INSTRUCTION, TaskTokenizer, TokenizerOptions

__all__ = [
    "DEFAULT_EPS",
    "EMPTY_INSTRUCTION",
    "POSTPROCESSOR",
    "PREPROCESSOR",
    "Normalizer",
    "Processors",
    "Stats",
    "TaskTokenizer",
    "TokenizerOptions",
    "action_origin",
    "check_array",
    "check_images",
    "make_normalizer",
    "read_processors",
    "read_stats",
    "write_processors",
]
