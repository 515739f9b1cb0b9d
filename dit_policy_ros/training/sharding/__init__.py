# SPDX-License-Identifier: Apache-2.0
"""Fully sharded data parallelism (FSDP): each process holds a part of every weight."""

from dit_policy_ros.training.sharding._shard import Sharding
from dit_policy_ros.training.sharding._tensors import distribute_like, gather, local_part, whole

__all__ = ["Sharding", "distribute_like", "gather", "local_part", "whole"]
