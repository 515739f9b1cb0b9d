# SPDX-License-Identifier: Apache-2.0
"""A request for a chunk, and the actions that are committed while it is inferred."""

import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.msg import InferenceRequest
from dit_policy_ros.ros.common import stamp_ns, to_stamp


@dataclass(frozen=True, slots=True, eq=False)
class Committed:
    """Known actions in absolute time; row k is for ``stamp_ns + k * period_ns``.

    Attributes:
        stamp_ns: of the first row [ns].
        period_ns: between two rows [ns], finer than the policy's, so that it can be interpolated.
        for_ns: rows are executed whatever is inferred, until so long after the inference's begin [ns].
        actions: float64 (R, A) [rad or m]; NaN where nothing is known.
    """

    stamp_ns: int
    period_ns: int
    for_ns: int
    actions: NDArray[np.float64]

    def continuation(
        self, began_ns: int, stamp_ns: int, history_ns: int, period_ns: int, horizon: int
    ) -> Continuation | None:
        """The known actions at the times of a sample's rows; None if none is known.

        Args:
            began_ns: when the inference began [ns].
            stamp_ns: of its observation [ns].
            history_ns: how long before that the sample's first row is [ns].
            period_ns: between two of its rows [ns].
            horizon: its rows T.
        """
        times_ns = stamp_ns - history_ns + period_ns * np.arange(horizon, dtype=np.int64)  # (T,)
        position = (times_ns - self.stamp_ns) / self.period_ns  # (T,) in rows of ours
        last = len(self.actions) - 1
        inside = (position >= 0.0) & (position <= last)  # (T,)
        before = np.minimum(np.maximum(np.floor(position), 0), last).astype(np.intp)  # (T,)
        after = np.minimum(before + 1, last)  # (T,)
        weight = (position - before)[:, None]  # (T, 1)
        exact = weight == 0.0  # a row that is known stays known beside one that is not
        between = self.actions[before] + weight * (self.actions[after] - self.actions[before])  # (T, A)
        actions = np.where(exact, self.actions[before], between)  # (T, A)
        actions[~inside] = np.nan
        if np.isnan(actions).all():
            return None
        until_ns = max(began_ns + self.for_ns, stamp_ns)  # what is before the observation is over
        return Continuation(actions, int((times_ns <= until_ns).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What the policy node wants. Times are its clock's; see InferenceRequest.msg for the fields."""

    id: int
    session: int
    wanted: bool = False
    epoch: int = 0
    task: str = ""
    earliest_ns: int = 0
    not_before_ns: int = 0
    committed: Committed | None = None


def request_message(request: Request, now_ns: int) -> InferenceRequest:
    """The message of a request that is sent at ``now_ns``."""
    message = InferenceRequest(
        id=request.id,
        stamp=to_stamp(now_ns),
        wanted=request.wanted,
        session=request.session,
        epoch=request.epoch,
        task=request.task,
        earliest=to_stamp(request.earliest_ns),
        not_before=to_stamp(request.not_before_ns),
    )
    if (committed := request.committed) is not None:
        message.committed_stamp = to_stamp(committed.stamp_ns)
        message.committed_period = committed.period_ns / NANOSECONDS
        message.committed_for = committed.for_ns / NANOSECONDS
        message.committed_columns = committed.actions.shape[1]
        message.committed = array.array("d", committed.actions.tobytes())
    return message


def request_from(message: InferenceRequest) -> Request:
    """The request in a message.

    Raises:
        ValueError: its committed actions are no whole rows.
    """
    committed = None
    if columns := message.committed_columns:
        actions = np.array(message.committed, np.float64).reshape(-1, columns)  # (R, A)
        period_ns = round(message.committed_period * NANOSECONDS)
        if not len(actions) or period_ns <= 0:
            raise ValueError("committed actions without rows or period")
        for_ns = round(message.committed_for * NANOSECONDS)
        committed = Committed(stamp_ns(message.committed_stamp), period_ns, for_ns, actions)
    return Request(
        id=message.id,
        session=message.session,
        wanted=message.wanted,
        epoch=message.epoch,
        task=message.task,
        earliest_ns=stamp_ns(message.earliest),
        not_before_ns=stamp_ns(message.not_before),
        committed=committed,
    )
