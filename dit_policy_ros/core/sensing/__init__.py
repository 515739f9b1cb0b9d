# SPDX-License-Identifier: Apache-2.0
"""Buffers sensor streams by stamp and builds observations from them.

Also detects frozen cameras and jumps of the clock.
"""

from dit_policy_ros.core.sensing._clock_jumps import ClockJumpDetector, Jump
from dit_policy_ros.core.sensing._clock_offset import ClockOffset
from dit_policy_ros.core.sensing._frozen_image import FrozenImageDetector
from dit_policy_ros.core.sensing._observation import Frame, Observation, ObservationBuilder, stale_reason
from dit_policy_ros.core.sensing._streams import (
    LATE_SAMPLE_TIMEOUT,
    StreamBuffer,
    StreamCounters,
    StreamSettings,
)

__all__ = [
    "LATE_SAMPLE_TIMEOUT",
    "ClockJumpDetector",
    "ClockOffset",
    "Frame",
    "FrozenImageDetector",
    "Jump",
    "Observation",
    "ObservationBuilder",
    "StreamBuffer",
    "StreamCounters",
    "StreamSettings",
    "stale_reason",
]
