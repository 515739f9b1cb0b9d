# SPDX-License-Identifier: Apache-2.0
"""Keeps the last seconds before a HOLD, so that they can be replayed.

`RecordedPipeline` records every call of the motion pipeline; `replay_calls` repeats the calls.
"""

from dit_policy_ros.core.incidents._incident import (
    Incident,
    IncidentRing,
    Inference,
    MotionCall,
    MotionSegment,
    predict_seeded,
)
from dit_policy_ros.core.incidents._recorded_pipeline import (
    RecordedPipeline,
    ReplayedCall,
    replay_calls,
    unpickle,
)

__all__ = [
    "Incident",
    "IncidentRing",
    "Inference",
    "MotionCall",
    "MotionSegment",
    "RecordedPipeline",
    "ReplayedCall",
    "predict_seeded",
    "replay_calls",
    "unpickle",
]
