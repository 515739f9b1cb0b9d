# SPDX-License-Identifier: Apache-2.0
"""A recorded episode that runs as a policy, so that its replay has the limits and the HOLD of one."""

from dit_policy_ros.policy.episode._episode_policy import (
    EPISODE_TYPE,
    EpisodePolicy,
    RecordedEpisode,
    load_episode_policy,
    write_episode_policy,
)

__all__ = ["EPISODE_TYPE", "EpisodePolicy", "RecordedEpisode", "load_episode_policy", "write_episode_policy"]
