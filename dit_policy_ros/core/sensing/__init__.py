# SPDX-License-Identifier: Apache-2.0
"""Buffers sensor streams by stamp and builds observations from them.

Also detects frozen cameras and jumps of the clock.
"""

from dit_policy_ros.core.sensing._clock_jumps import ClockJumpDetector, Jump
from dit_policy_ros.core.sensing._clock_offset import ClockOffset
from dit_policy_ros.core.sensing._frozen_image import FrozenImageDetector
from dit_policy_ros.core.sensing._joint_buffer import JointBuffer
from dit_policy_ros.core.sensing._observation import Frame, Observation, ObservationBuilder
from dit_policy_ros.core.sensing._round_trips import RoundTrips
from dit_policy_ros.core.sensing._stale_reason import stale_reason, unusable_reason
from dit_policy_ros.core.sensing._streams import (
    FUTURE_TOLERANCE,
    LATE_SAMPLE_TIMEOUT,
    StreamBuffer,
    StreamCounters,
    StreamSettings,
)
from dit_policy_ros.core.sensing._vectors import quaternion_index, unit_quaternion
from dit_policy_ros.core.sensing._watcher_lease import LEFT, WatcherLease

__all__ = [
    "FUTURE_TOLERANCE",
    "LATE_SAMPLE_TIMEOUT",
    "LEFT",
    "ClockJumpDetector",
    "ClockOffset",
    "Frame",
    "FrozenImageDetector",
    "JointBuffer",
    "Jump",
    "Observation",
    "ObservationBuilder",
    "RoundTrips",
    "StreamBuffer",
    "StreamCounters",
    "StreamSettings",
    "WatcherLease",
    "quaternion_index",
    "stale_reason",
    "unit_quaternion",
    "unusable_reason",
]
