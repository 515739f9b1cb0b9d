# SPDX-License-Identifier: Apache-2.0
"""The motion path of the policy node: chunk -> ensemble -> splice -> limits -> checked plan.

`Pipeline` runs these steps and can hold the arms at any time.
"""

from dit_policy_ros.core.motion._brake import hold_again
from dit_policy_ros.core.motion._chunk import Chunk
from dit_policy_ros.core.motion._chunk_deadline import ChunkDeadline
from dit_policy_ros.core.motion._clock_tolerance import clock_problem, clock_tolerance
from dit_policy_ros.core.motion._continuation import Continuation
from dit_policy_ros.core.motion._e_stop import EStop
from dit_policy_ros.core.motion._ensemble import EnsembleMode, EnsembleSettings
from dit_policy_ros.core.motion._pacing import Pacing, check_pacing
from dit_policy_ros.core.motion._pipeline import Pipeline
from dit_policy_ros.core.motion._plan import PLAN_HISTORY, Plan
from dit_policy_ros.core.motion._plan_check import check_plan, joints_outside_limits
from dit_policy_ros.core.motion._settings import MotionSettings, MotionState
from dit_policy_ros.core.motion._splice import FROZEN_INTERVALS

__all__ = [
    "FROZEN_INTERVALS",
    "PLAN_HISTORY",
    "Chunk",
    "ChunkDeadline",
    "Continuation",
    "EStop",
    "EnsembleMode",
    "EnsembleSettings",
    "MotionSettings",
    "MotionState",
    "Pacing",
    "Pipeline",
    "Plan",
    "check_pacing",
    "check_plan",
    "clock_problem",
    "clock_tolerance",
    "hold_again",
    "joints_outside_limits",
]
