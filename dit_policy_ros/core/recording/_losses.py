# SPDX-License-Identifier: Apache-2.0
"""What an episode lacks: samples that were dropped, and commands that moved a joint unheard."""

from dataclasses import dataclass

import numpy as np

from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.sensing import StreamCounters

_STILL = 0.001  # [share of a joint's range] a command that stays within this stands still
_AWAY = 0.03  # [share of a joint's range] a joint that moves further away from a standing command left it
_WORDS = {
    "refused": "could not be used",
    "late": "came too late",
    "future": "had a stamp in the future",
}


@dataclass(frozen=True, slots=True)
class StreamLosses:
    """What a stream has accepted and dropped. refusal: why the newest refused sample could not be used."""

    counters: StreamCounters
    refusal: str = ""

    def text(self) -> str:
        """How many samples were lost, and why; empty if none was."""
        lost = self.counters.lost()
        parts = [f"{count} {_WORDS[kind]}" for kind, count in lost.items()]
        reason = f": {self.refusal}" if self.refusal and "refused" in lost else ""
        count = sum(lost.values()) + self.counters.accepted
        return f"of {count} samples {listing(parts)}{reason}" if parts else ""


def left_behind(state: np.ndarray, action: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Where a joint moves away from a command that stands still, (N, D) bool.

    A joint may still be on its way when its command stops, so only a distance that grows counts. Then
    something else moves the joint: commands that were not recorded, or a hand.

    Args:
        state: measured positions (N, D) [rad or m].
        action: commands (N, D) [rad or m].
        ranges: of the joints (D,) [rad or m].
    """
    since, nearest = action[0], np.abs(state[0] - action[0])  # (D,) each
    result = np.zeros(state.shape, dtype=bool)  # (N, D)
    for number, (position, command) in enumerate(zip(state, action, strict=True)):
        distance = np.abs(position - command)  # (D,)
        changed = np.abs(command - since) > _STILL * ranges  # (D,)
        since = np.where(changed, command, since)
        nearest = np.where(changed, distance, np.minimum(nearest, distance))
        result[number] = distance - nearest > _AWAY * ranges
    return result
