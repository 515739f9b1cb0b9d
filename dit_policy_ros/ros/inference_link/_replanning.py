# SPDX-License-Identifier: Apache-2.0
"""Decides when to infer, for which task, and what is committed meanwhile."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.motion import FROZEN_INTERVALS, Chunk
from dit_policy_ros.core.sensing import FUTURE_TOLERANCE
from dit_policy_ros.ros.inference_link._figures import InferenceFigures
from dit_policy_ros.ros.inference_link._motion import Motion
from dit_policy_ros.ros.inference_protocol import Committed

_FINENESS = 4  # rows of the committed actions per period of the policy: they are interpolated
_AHEAD_NS = round(FUTURE_TOLERANCE * NANOSECONDS)
_SPARE_ROWS = 8  # of the policy: the observation may come later than expected


@dataclass(frozen=True, slots=True)
class ReplanSettings:
    """When to infer.

    Attributes:
        period_ns: time between two actions of a chunk [ns].
        replan_interval: time between the observations of two inferences [s], to the nearest period.
        max_latency: inferences that take longer are counted [s].
        encode_on_arrival: frames are encoded as they arrive, not when a chunk is due.
    """

    period_ns: int
    replan_interval: float
    max_latency: float
    encode_on_arrival: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """A chunk that is wanted; see InferenceRequest.msg."""

    epoch: int
    task: str
    earliest_ns: int
    not_before_ns: int


class Replanning:
    """Remembers the answers, and what follows from them."""

    def __init__(
        self, motion: Motion, settings: ReplanSettings, n_obs_steps: int, now_ns: Callable[[], int]
    ) -> None:
        """Begin without any answer.

        Args:
            motion: says whether a chunk is wanted, and what is executed.
            settings: when to infer.
            n_obs_steps: observations that one inference sees.
            now_ns: reads the node's clock [ns].
        """
        self._motion, self._settings, self._now_ns = motion, settings, now_ns
        self._history_ns = (n_obs_steps - 1) * settings.period_ns  # length of an observation
        # Half a period less: images arrive at their rate only on average, and one that arrives a moment too
        # early would delay the inference by a whole period.
        self._interval_ns = round(settings.replan_interval * NANOSECONDS) - settings.period_ns // 2
        self._observed_ns: int | None = None  # stamp of the last answer's observation
        self._not_before_ns = 0
        self._newest: tuple[int, Chunk] | None = None  # (epoch of its request, chunk)

    @property
    def history_ns(self) -> int:
        """Length of an observation [ns]."""
        return self._history_ns

    def wish(self, task: str) -> Wish | None:
        """The chunk that is wanted now, for this task; None if none is."""
        motion, observed_ns, now_ns = self._motion, self._observed_ns, self._now_ns()
        if not motion.wants_chunks:
            return None
        # Stamps may be a little ahead of our clock, as those of another computer or of simulated time are.
        if observed_ns is not None and observed_ns > now_ns + _AHEAD_NS:  # the clock was set back
            self._observed_ns = observed_ns = None
            self._not_before_ns = 0
        earliest_ns = 0
        if observed_ns is not None:
            wait_ns = 1 if self._settings.encode_on_arrival else max(self._interval_ns, 1)
            earliest_ns = observed_ns + wait_ns
        earliest_ns = max(earliest_ns, motion.earliest_observation(self._history_ns))
        return Wish(motion.epoch, task, earliest_ns, self._not_before_ns)

    def add_chunk(self, chunk: Chunk, epoch: int, began_ns: int) -> None:
        """Note an answer, asked for in that epoch, whose inference began at ``began_ns`` [ns]."""
        self._observed_ns, self._newest = chunk.stamp_ns, (epoch, chunk)
        # The next frames are encoded while they are not due, so what counts is the time, not the stamp.
        self._not_before_ns = began_ns + self._interval_ns if self._settings.encode_on_arrival else 0

    def add_failure(self) -> None:
        """Note an answer without a chunk: the next try comes after a period."""
        self._not_before_ns = self._now_ns() + self._settings.period_ns

    def committed(self, wish: Wish, horizon: int, figures: InferenceFigures) -> Committed | None:
        """What a new sample of ``horizon`` rows continues; None after a hold or a change of the task."""
        if self._newest is None or self._newest[0] != wish.epoch:
            return None
        now_ns, period_ns = self._now_ns(), self._settings.period_ns
        age, turnaround = figures.observation_age.newest, figures.turnaround.percentile(95)  # [s] or NaN
        age_ns = 0 if math.isnan(age) else round(age * NANOSECONDS)
        delay_ns = 0 if math.isnan(turnaround) else round(turnaround * NANOSECONDS)
        # The observation's stamp is not known yet. Rows that are interpolated serve whichever it will be.
        stamp_ns = max(wish.earliest_ns, now_ns - age_ns)
        first_ns = stamp_ns - self._history_ns - period_ns
        began_ns = stamp_ns + age_ns
        until_ns = began_ns + delay_ns + FROZEN_INTERVALS * period_ns
        step_ns, rows = period_ns // _FINENESS, horizon + _SPARE_ROWS
        phases = []
        with self._motion.locked():
            for phase in range(_FINENESS):
                known = self._motion.pipeline.continuation(
                    self._newest[1], first_ns + phase * step_ns, stamp_ns, rows, until_ns
                )
                if known is None:
                    return None
                phases.append(known)
        actions = np.stack([known.actions for known in phases], axis=1)  # (rows, fineness, A)
        count = sum(known.committed for known in phases)  # the phases' rows alternate
        return Committed(
            stamp_ns=first_ns,
            period_ns=step_ns,
            for_ns=first_ns + (count - 1) * step_ns - began_ns,
            actions=actions.reshape(rows * _FINENESS, -1),
        )
