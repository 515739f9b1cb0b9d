# SPDX-License-Identifier: Apache-2.0
"""Converts the episodes of bags into a dataset; an interrupted conversion can be continued."""

from dit_policy_ros.evaluation.bags._conversion import BagToDataset, RecorderSettings, read_recorder_settings
from dit_policy_ros.evaluation.bags._many_bags import BagResult, ManyBags
from dit_policy_ros.evaluation.bags._segment_choice import SegmentChoice

__all__ = [
    "BagResult",
    "BagToDataset",
    "ManyBags",
    "RecorderSettings",
    "SegmentChoice",
    "read_recorder_settings",
]
