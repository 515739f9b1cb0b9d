# SPDX-License-Identifier: Apache-2.0
"""Records episodes into a LeRobotDataset v3; a saved episode is never lost.

An episode is a journal first and is then committed to the dataset. Also recovery after a crash, and removing
episodes.
"""

from dit_policy_ros.data.recording._edit import remove_episodes
from dit_policy_ros.data.recording._journal_format import (
    MIN_FRAMES,
    CameraHealth,
    EndedEpisode,
    EpisodeOutcome,
)
from dit_policy_ros.data.recording._journal_reader import is_saved
from dit_policy_ros.data.recording._naming import Naming
from dit_policy_ros.data.recording._quarantine import quarantined_episodes
from dit_policy_ros.data.recording._recovery import (
    QuarantineAction,
    Recover,
    pending_episodes,
    recover_offline,
    resolve_quarantine,
)
from dit_policy_ros.data.recording._relabel import relabel_episodes
from dit_policy_ros.data.recording._sink import EpisodeSink
from dit_policy_ros.data.recording._writer import DatasetWriter

__all__ = [
    "MIN_FRAMES",
    "CameraHealth",
    "DatasetWriter",
    "EndedEpisode",
    "EpisodeOutcome",
    "EpisodeSink",
    "Naming",
    "QuarantineAction",
    "Recover",
    "is_saved",
    "pending_episodes",
    "quarantined_episodes",
    "recover_offline",
    "relabel_episodes",
    "remove_episodes",
    "resolve_quarantine",
]
