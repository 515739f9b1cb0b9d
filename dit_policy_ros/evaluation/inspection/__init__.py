# SPDX-License-Identifier: Apache-2.0
"""What `dit_policy inspect` shows of a dataset's episodes."""

from dit_policy_ros.evaluation.inspection._episode_numbers import parse_episode_numbers
from dit_policy_ros.evaluation.inspection._journal import journal_lines
from dit_policy_ros.evaluation.inspection._tables import episode_table, episodes_as_json, task_table

__all__ = ["episode_table", "episodes_as_json", "journal_lines", "parse_episode_numbers", "task_table"]
