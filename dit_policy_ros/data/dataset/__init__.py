# SPDX-License-Identifier: Apache-2.0
"""Reads LeRobotDatasets v3 and the recorder's side table.

A dataset's files are checked before anything is decoded.
"""

from dit_policy_ros.data.dataset._demonstrations import Demonstrations, Source, image_stats, vector_stats
from dit_policy_ros.data.dataset._episode_columns import (
    editable,
    have_columns,
    metadata_files,
    to_columns,
    write_columns,
)
from dit_policy_ros.data.dataset._episode_frames import EpisodeFrames, read_episode
from dit_policy_ros.data.dataset._episode_plot import plot_episodes, sample_intervals
from dit_policy_ros.data.dataset._flags import (
    episode_records,
    failed_by_operator,
    failed_episodes,
    flagged_frames,
    record_notices,
)
from dit_policy_ros.data.dataset._frame_store import FrameStore
from dit_policy_ros.data.dataset._overview import (
    MIN_DEMONSTRATIONS,
    TARGET_DEMONSTRATIONS,
    episode_rows,
    task_counts,
)
from dit_policy_ros.data.dataset._reader import read_demonstrations
from dit_policy_ros.data.dataset._samples import Sample, SampleReader
from dit_policy_ros.data.dataset._side_table import (
    SIDE_TABLE,
    VECTOR_STREAMS,
    EpisodeRecord,
    format_records,
    read_records,
    to_spans,
)
from dit_policy_ros.data.dataset._spec import DatasetSpec, check_compatible
from dit_policy_ros.data.description import (
    INFO_FILE,
    JOURNAL_FOLDER,
    check_readable,
    check_writable,
    folder_size,
    inspect_folder,
    nearest_existing,
    read_info,
)

__all__ = [
    "INFO_FILE",
    "JOURNAL_FOLDER",
    "MIN_DEMONSTRATIONS",
    "SIDE_TABLE",
    "TARGET_DEMONSTRATIONS",
    "VECTOR_STREAMS",
    "DatasetSpec",
    "Demonstrations",
    "EpisodeFrames",
    "EpisodeRecord",
    "FrameStore",
    "Sample",
    "SampleReader",
    "Source",
    "check_compatible",
    "check_readable",
    "check_writable",
    "editable",
    "episode_records",
    "episode_rows",
    "failed_by_operator",
    "failed_episodes",
    "flagged_frames",
    "folder_size",
    "format_records",
    "have_columns",
    "image_stats",
    "inspect_folder",
    "metadata_files",
    "nearest_existing",
    "plot_episodes",
    "read_demonstrations",
    "read_episode",
    "read_info",
    "read_records",
    "record_notices",
    "sample_intervals",
    "task_counts",
    "to_columns",
    "to_spans",
    "vector_stats",
    "write_columns",
]
