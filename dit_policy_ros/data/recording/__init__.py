# SPDX-License-Identifier: Apache-2.0
"""Writing episodes so that nothing saved is ever lost.

Journal -> commit -> LeRobotDataset v3; recovery after a crash; removing episodes.
"""

from dit_policy_ros.data.recording._edit import remove_episodes
from dit_policy_ros.data.recording._journal import CameraHealth, EpisodeLabel
from dit_policy_ros.data.recording._recover_offline import recover_offline
from dit_policy_ros.data.recording._recovery import Recover
from dit_policy_ros.data.recording._sink import EpisodeSink
from dit_policy_ros.data.recording._writer import DatasetWriter

__all__ = [
    "CameraHealth",
    "DatasetWriter",
    "EpisodeLabel",
    "EpisodeSink",
    "Recover",
    "recover_offline",
    "remove_episodes",
]
