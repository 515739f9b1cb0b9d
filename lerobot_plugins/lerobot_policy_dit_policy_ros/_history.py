# SPDX-License-Identifier: Apache-2.0
"""The observations that one inference sees: LeRobot gives the newest one only.

Its engines differ. ``sync`` calls ``select_action`` once per period, so the last S calls are the history;
with a robot that says when it was observed that time counts, because a loop may be slow. ``rtc`` and
``async`` call ``predict_action_chunk`` whenever they want a chunk, so the call before may be many periods
ago. Then the history is made by the clock: states between two calls are interpolated, an image is the newest
of its time. After a pause, in which the arms held or a person moved them, nothing before it counts.

Shapes: B batch, S observation steps.
"""

from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

Observation = Mapping[str, Tensor]
_Timed = tuple[float, Observation]  # [s]

_PAUSE = 1.0  # [s] without a call; or two periods, if they are longer
_EARLY = 0.25  # [periods] an image may be newer than its time, as in the policy node


class ObservationHistory:
    """Keeps observations since the last ``clear``."""

    def __init__(self, steps: int, period: float | None, image_keys: frozenset[str]) -> None:
        """Begin empty.

        Args:
            steps: S.
            period: between two observations of the training data [s]; None if it is not known.
            image_keys: the features that are not interpolated.
        """
        self._steps, self._period, self._image_keys = steps, period, image_keys
        self._kept: deque[_Timed] = deque()

    def clear(self) -> None:
        """Forget all: the robot or the task begins anew."""
        self._kept.clear()

    def add(self, observation: Observation, at: float) -> None:
        """Keep an observation, each feature (B, ...), made at that time [s].

        If the clock was set back, the others are forgotten. Of two observations of one time the later one
        counts.
        """
        period = self._period or 0.0
        if self._kept and at < self._kept[-1][0]:
            self._kept.clear()
        if self._period is not None and self._kept and at == self._kept[-1][0]:
            self._kept.pop()
        self._kept.append((at, observation))
        while len(self._kept) > self._steps and self._kept[1][0] <= at - self._steps * period:
            self._kept.popleft()

    def last_calls(self) -> dict[str, Tensor]:
        """The last S observations, each feature (B, S, ...); the first is repeated while there are fewer."""
        kept = [observation for _, observation in self._kept][-self._steps :]
        kept = [kept[0]] * (self._steps - len(kept)) + kept
        return _stack(kept)

    def by_time(self) -> dict[str, Tensor]:
        """As ``last_calls``, one period of the training data apart."""
        if self._period is None:
            return self.last_calls()
        kept = self._since_pause(max(_PAUSE, 2.0 * self._period))
        newest = kept[-1][0]
        return _stack([self._at(kept, newest - k * self._period) for k in reversed(range(self._steps))])

    def _since_pause(self, pause: float) -> list[_Timed]:
        """What is kept since the last time without a call for so long [s]."""
        kept = list(self._kept)
        pauses = [i for i in range(1, len(kept)) if kept[i][0] - kept[i - 1][0] > pause]
        return kept[pauses[-1] :] if pauses else kept

    def _at(self, kept: list[_Timed], time: float) -> Observation:
        """The observation of a time, at or before the newest one's."""
        tolerance = _EARLY * (self._period or 0.0)
        before = [each for each in kept if each[0] <= time]
        seen = [each for each in kept if each[0] <= time + tolerance]
        image_source = (seen or [kept[0]])[-1][1]
        (start, first) = kept[max(len(before) - 1, 0)]
        (end, second) = kept[min(len(before), len(kept) - 1)]
        weight = 0.0 if end <= start else (time - start) / (end - start)
        return {
            key: image_source[key]
            if key in self._image_keys
            else torch.lerp(first[key], second[key], min(max(weight, 0.0), 1.0))
            for key in second
        }


def _stack(observations: list[Observation]) -> dict[str, Tensor]:
    return {key: torch.stack([each[key] for each in observations], dim=1) for key in observations[-1]}
