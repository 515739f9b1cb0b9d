# SPDX-License-Identifier: Apache-2.0
"""Records episodes into a LeRobotDataset v3; a saved episode is never lost.

An episode is a journal first and is then committed to the dataset. Also recovery after a crash, and removing
episodes.
"""

from dit_policy_ros.data.recording._edit import remove_episodes
from dit_policy_ros.data.recording._journal_format import CameraHealth, EpisodeOutcome
from dit_policy_ros.data.recording._recover_offline import recover_offline
from dit_policy_ros.data.recording._recovery import MIN_FRAMES, Recover, pending_episodes
from dit_policy_ros.data.recording._sink import EpisodeSink
from dit_policy_ros.data.recording._writer import DatasetWriter

__all__ = [
    "MIN_FRAMES",
    "CameraHealth",
    "DatasetWriter",
    "EpisodeOutcome",
    "EpisodeSink",
    "Recover",
    "pending_episodes",
    "recover_offline",
    "remove_episodes",
]
