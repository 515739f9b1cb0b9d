# SPDX-License-Identifier: Apache-2.0
"""What a LeRobotDataset holds: every feature with its role, read and checked before anything is decoded."""

from dit_policy_ros.data.description._cameras import CameraFeature, check_one_size, choose_cameras
from dit_policy_ros.data.description._description import DatasetDescription
from dit_policy_ros.data.description._entry_names import entry_names
from dit_policy_ros.data.description._files import (
    INFO_FILE,
    JOURNAL_FOLDER,
    check_readable,
    check_writable,
    folder_size,
    inspect_folder,
    nearest_existing,
    read_info,
)
from dit_policy_ros.data.description._find import HubSnapshot, find_dataset, hub_snapshot
from dit_policy_ros.data.description._info_rules import check_extendable_values
from dit_policy_ros.data.description._read import check_same_features, describe_dataset, describe_info
from dit_policy_ros.data.description._vectors import VectorFeature, choose_vectors

__all__ = [
    "INFO_FILE",
    "JOURNAL_FOLDER",
    "CameraFeature",
    "DatasetDescription",
    "HubSnapshot",
    "VectorFeature",
    "check_extendable_values",
    "check_one_size",
    "check_readable",
    "check_same_features",
    "check_writable",
    "choose_cameras",
    "choose_vectors",
    "describe_dataset",
    "describe_info",
    "entry_names",
    "find_dataset",
    "folder_size",
    "hub_snapshot",
    "inspect_folder",
    "nearest_existing",
    "read_info",
]
