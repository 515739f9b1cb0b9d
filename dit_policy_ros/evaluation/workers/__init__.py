# SPDX-License-Identifier: Apache-2.0
"""Spreads work over processes of this machine, or over a Ray cluster."""

from dit_policy_ros.evaluation.workers._pool import run_shards
from dit_policy_ros.evaluation.workers._shared_folder import SharedFolder
from dit_policy_ros.evaluation.workers._workers import Workers, WorkersError

__all__ = ["SharedFolder", "Workers", "WorkersError", "run_shards"]
