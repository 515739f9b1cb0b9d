# SPDX-License-Identifier: Apache-2.0
"""From sensor samples to observations.

Streams keep the newest samples by their stamps. Frozen cameras and clock jumps are found here.
"""

from dit_policy_ros.core.sensing._clock_jumps import ClockJumpDetector, Jump
from dit_policy_ros.core.sensing._frozen_image import FrozenImageDetector
from dit_policy_ros.core.sensing._observation import Frame, Observation, ObservationBuilder, stale_reason
from dit_policy_ros.core.sensing._streams import PATIENCE, StreamBuffer, StreamCounters

__all__ = [
    "PATIENCE",
    "ClockJumpDetector",
    "Frame",
    "FrozenImageDetector",
    "Jump",
    "Observation",
    "ObservationBuilder",
    "StreamBuffer",
    "StreamCounters",
    "stale_reason",
]
