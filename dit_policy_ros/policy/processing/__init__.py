# SPDX-License-Identifier: Apache-2.0
"""What happens to values before and after the network: checks, normalisation, tokens.

LeRobot's pre- and postprocessor files are read and written here.
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
from dit_policy_ros.policy.processing._relative_actions import reference
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
    "check_array",
    "check_images",
    "make_normalizer",
    "read_processors",
    "read_stats",
    "reference",
    "write_processors",
]
