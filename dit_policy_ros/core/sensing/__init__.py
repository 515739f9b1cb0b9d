# SPDX-License-Identifier: Apache-2.0
"""From sensor samples to observations.

Streams keep the newest samples by their stamps. Frozen cameras and clock jumps are found here.
"""

from dit_policy_ros.core.sensing._clock_jumps import ClockWatch, Jump
from dit_policy_ros.core.sensing._frozen_image import PictureWatch
from dit_policy_ros.core.sensing._observation import Frame, Observation, ObservationBuilder, stale_reason
from dit_policy_ros.core.sensing._streams import PATIENCE, StreamBuffer, StreamCounters

__all__ = [
    "PATIENCE",
    "ClockWatch",
    "Frame",
    "Jump",
    "Observation",
    "ObservationBuilder",
    "PictureWatch",
    "StreamBuffer",
    "StreamCounters",
    "stale_reason",
]
