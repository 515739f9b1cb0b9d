# SPDX-License-Identifier: Apache-2.0
"""The last seconds before a HOLD, kept so that they can be replayed.

`RecordedPipeline` records every call of the motion pipeline; `repeat` makes the calls again.
"""

from dit_policy_ros.core.incidents._incident import (
    Incident,
    IncidentRing,
    Inference,
    MotionSegment,
    predict_seeded,
)
from dit_policy_ros.core.incidents._recorded_pipeline import RecordedPipeline, Repeated, loads, repeat

__all__ = [
    "Incident",
    "IncidentRing",
    "Inference",
    "MotionSegment",
    "RecordedPipeline",
    "Repeated",
    "loads",
    "predict_seeded",
    "repeat",
]
