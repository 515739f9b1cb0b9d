# SPDX-License-Identifier: Apache-2.0
"""Converts the episodes of a bag into a dataset; an interrupted conversion can be continued."""

from dit_policy_ros.evaluation.bags._conversion import BagToDataset, read_recorder_settings

__all__ = ["BagToDataset", "read_recorder_settings"]
