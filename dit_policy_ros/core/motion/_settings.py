# SPDX-License-Identifier: Apache-2.0
"""What a user can choose about the motion, and the states that it can be in."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.motion._ensemble import EnsembleSettings
from dit_policy_ros.core.motion._pacing import Pacing

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MotionSettings:
    """How chunks become motion.

    Attributes:
        ensemble: how predictions are averaged.
        plan_horizon: how far a plan reaches beyond now [s]. The arms can keep moving for that long if this
            process dies.
        fade_knots: knots over which a new target is cross-faded with the former one.
        soft_start: time over which the first motion is blended in [s].
        max_tracking_error: (A,) if the measured pose is further from the commanded one than this, a HOLD
            starts from the measured pose [rad or m]; inf disables that.
        hold_duration: how long the braking plan holds its final pose [s]. The controller rejects a trajectory
            that ends in the past, so this is the delivery delay we tolerate.
        pacing: see Pacing.
        task_fade: time over which a change of the task is blended in [s]; 0 uses ``fade_knots`` only.
        pose_tolerance: (A,) motion may start this far outside the position limits [rad or m].
        lead: (A,) each joint's actions are sent this much earlier than they are meant for [s]: its latency.
    """

    ensemble: EnsembleSettings
    plan_horizon: float
    fade_knots: int
    soft_start: float
    max_tracking_error: Array
    hold_duration: float = 10.0
    pacing: Pacing = Pacing.CONTINUOUS
    task_fade: float = 0.0
    pose_tolerance: Array = field(default_factory=lambda: np.array(0.02))
    lead: Array = field(default_factory=lambda: np.array(0.0))


class MotionState(StrEnum):
    """State of the motion."""

    WAITING = "waiting"  # at rest, ready for a chunk
    RUNNING = "running"  # a plan made from chunks is active
    INTERVENTION = "intervention"  # the same, but some or all joints follow somebody else (``lead``)
    HOLD = "hold"  # the braking plan is active; latched until ``resume``
