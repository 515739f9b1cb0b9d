# SPDX-License-Identifier: Apache-2.0
"""What the link needs of the motion path, which is in another package."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from dit_policy_ros.core.motion import Chunk, Pipeline, Plan


class Motion(Protocol):
    """The motion gate, as the link uses it."""

    pipeline: Pipeline

    @property
    def epoch(self) -> int:
        """A number that changes whenever chunks under way must be dropped."""
        ...

    @property
    def wants_chunks(self) -> bool:
        """Whether to infer."""
        ...

    def earliest_observation(self, history_ns: int) -> int:
        """The earliest stamp of an observation that may be used [ns], if its history is that long [ns]."""
        ...

    def accepts_observation(self, since_ns: int) -> bool:
        """Whether an observation may be used whose history begins at ``since_ns``."""
        ...

    def submit_chunk(self, chunk: Chunk, epoch: int) -> Plan | None:
        """Execute a chunk that was asked for in that epoch."""
        ...

    def hold(self, reason: str, recoverable: bool = False) -> None:
        """Brake."""
        ...

    def set_busy(self, seconds: float) -> None:
        """Note how long the present inference has been running [s]; 0: none runs."""
        ...

    def locked(self) -> AbstractContextManager[Any]:
        """Nothing of the motion changes within."""
        ...
