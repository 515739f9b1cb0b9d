# SPDX-License-Identifier: Apache-2.0
"""Reading LeRobotDatasets v3 and the recorder's side table.

Everything is checked before anything is decoded.
"""

from dit_policy_ros.data.dataset._demonstrations import Demonstrations, image_stats
from dit_policy_ros.data.dataset._episode_records import (
    RECORDS,
    STREAMS,
    EpisodeRecord,
    read_records,
    records_text,
    spans_of,
)
from dit_policy_ros.data.dataset._files import (
    INFO,
    JOURNAL,
    check_place,
    check_readable,
    check_same,
    features_of,
    folder_size,
    inspect_folder,
    nearest_existing,
    read_info,
)
from dit_policy_ros.data.dataset._frame_store import FrameStore
from dit_policy_ros.data.dataset._overview import FEW, GOAL, draw, episode_rows, task_counts
from dit_policy_ros.data.dataset._reader import read_demonstrations
from dit_policy_ros.data.dataset._samples import SampleReader

__all__ = [
    "FEW",
    "GOAL",
    "INFO",
    "JOURNAL",
    "RECORDS",
    "STREAMS",
    "Demonstrations",
    "EpisodeRecord",
    "FrameStore",
    "SampleReader",
    "check_place",
    "check_readable",
    "check_same",
    "draw",
    "episode_rows",
    "features_of",
    "folder_size",
    "image_stats",
    "inspect_folder",
    "nearest_existing",
    "read_demonstrations",
    "read_info",
    "read_records",
    "records_text",
    "spans_of",
    "task_counts",
]
