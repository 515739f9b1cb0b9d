# SPDX-License-Identifier: Apache-2.0
"""The policy node's link to the inference node: its process, its lifecycle, requests, chunks, and faults.

`InferenceSide` is all of it; `InferenceLink` asks for chunks and refuses those that may not be used.
"""

from dit_policy_ros.ros.inference_link._figures import InferenceFigures
from dit_policy_ros.ros.inference_link._instructions import (
    WARN,
    Judged,
    UnfamiliarTaskError,
    judge_instruction,
    known_hint,
    summary,
)
from dit_policy_ros.ros.inference_link._link import InferenceLink, LinkSettings
from dit_policy_ros.ros.inference_link._motion import Motion
from dit_policy_ros.ros.inference_link._process import process_arguments
from dit_policy_ros.ros.inference_link._remote_node import InferenceError, SavedObservations
from dit_policy_ros.ros.inference_link._replanning import ReplanSettings
from dit_policy_ros.ros.inference_link._side import InferenceSide

__all__ = [
    "WARN",
    "InferenceError",
    "InferenceFigures",
    "InferenceLink",
    "InferenceSide",
    "Judged",
    "LinkSettings",
    "Motion",
    "ReplanSettings",
    "SavedObservations",
    "UnfamiliarTaskError",
    "judge_instruction",
    "known_hint",
    "process_arguments",
    "summary",
]
