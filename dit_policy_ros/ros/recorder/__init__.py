# SPDX-License-Identifier: Apache-2.0
"""The recorder node: records teleoperated demonstrations into a LeRobotDataset.

`recorder_node` is the node; the other modules are its parts.
"""

from dit_policy_ros.ros.recorder._episode import Recording
from dit_policy_ros.ros.recorder._frame_recorder import FrameRecorder
from dit_policy_ros.ros.recorder._parameters import (
    RECORDER_PARAMETERS,
    ActionSettings,
    action_settings,
    dataset_naming,
    dataset_spec,
    thresholds,
    video_settings,
)
from dit_policy_ros.ros.recorder._streams import RecorderStreams

__all__ = [
    "RECORDER_PARAMETERS",
    "ActionSettings",
    "FrameRecorder",
    "RecorderStreams",
    "Recording",
    "action_settings",
    "dataset_naming",
    "dataset_spec",
    "thresholds",
    "video_settings",
]
