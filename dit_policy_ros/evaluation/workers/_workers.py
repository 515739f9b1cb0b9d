# SPDX-License-Identifier: Apache-2.0
"""Where shards of work run."""

import math
from dataclasses import dataclass

from dit_policy_ros.core.errors import DitPolicyError


class WorkersError(DitPolicyError):
    """Work cannot be spread: no Ray, no cluster, or a worker was lost."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Where shards run.

    Attributes:
        count: processes on this machine, without Ray.
        ray: address of a Ray cluster; empty for none.
        cpus: cores that a shard takes on the cluster.
        gpus: share of a GPU that a shard takes on the cluster.

    Raises:
        WorkersError: a number is out of range, or both places were asked for.
    """

    count: int = 1
    ray: str = ""
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise WorkersError(f"--workers: expected at least 1, got {self.count}")
        if self.ray and self.count > 1:
            raise WorkersError(
                "--workers and --ray: expected one of them; the cluster has workers of its own"
            )
        if not (self.cpus > 0 and math.isfinite(self.cpus) and 0 <= self.gpus <= 64):
            raise WorkersError(
                f"a worker's share of a machine: expected cores above 0 and GPUs of 0 or more, got "
                f"{self.cpus} and {self.gpus}"
            )

    @property
    def are_many(self) -> bool:
        """Whether shards leave this process."""
        return self.count > 1 or bool(self.ray)
