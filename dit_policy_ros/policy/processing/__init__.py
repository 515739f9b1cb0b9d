# SPDX-License-Identifier: Apache-2.0
"""Pre- and postprocessing: input checks, normalisation, tokens, relative actions.

Reads and writes LeRobot's pre- and postprocessor files.
"""

from dit_policy_ros.policy.processing._input_check import check_array, check_images
from dit_policy_ros.policy.processing._joined import (
    JoinedNormalizer,
    JoinedRange,
    join_normalizers,
    join_ranges,
)
from dit_policy_ros.policy.processing._normalize import Normalizer, make_normalizer
from dit_policy_ros.policy.processing._processors import (
    DEFAULT_EPS,
    POSTPROCESSOR,
    PREPROCESSOR,
    NormalizerStep,
    Processors,
    Stats,
    check_same_scaling,
    normalizer_of,
    read_processors,
    read_stats,
    read_tensors,
    statistics_of,
    write_processors,
)
from dit_policy_ros.policy.processing._relative_actions import action_origin
from dit_policy_ros.policy.processing._resize import resize_bytes
from dit_policy_ros.policy.processing._state_range import (
    StateRange,
    UnseenEntry,
    describe_unseen,
    raise_resting,
    refuse_far,
)
from dit_policy_ros.policy.processing._tokens import EMPTY_INSTRUCTION, TaskTokenizer, TokenizerOptions

__all__ = [
    "DEFAULT_EPS",
    "EMPTY_INSTRUCTION",
    "POSTPROCESSOR",
    "PREPROCESSOR",
    "JoinedNormalizer",
    "JoinedRange",
    "Normalizer",
    "NormalizerStep",
    "Processors",
    "StateRange",
    "Stats",
    "TaskTokenizer",
    "TokenizerOptions",
    "UnseenEntry",
    "action_origin",
    "check_array",
    "check_images",
    "check_same_scaling",
    "describe_unseen",
    "join_normalizers",
    "join_ranges",
    "make_normalizer",
    "normalizer_of",
    "raise_resting",
    "read_processors",
    "read_stats",
    "read_tensors",
    "refuse_far",
    "resize_bytes",
    "statistics_of",
    "write_processors",
]
