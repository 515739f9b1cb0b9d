# SPDX-License-Identifier: Apache-2.0
"""Merges datasets by LeRobot's own aggregation, with the recorder's side tables."""

from dit_policy_ros.data.merging._merge import check_settled, merge_datasets, replace_dataset

__all__ = ["check_settled", "merge_datasets", "replace_dataset"]
