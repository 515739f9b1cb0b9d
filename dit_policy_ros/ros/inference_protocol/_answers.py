# SPDX-License-Identifier: Apache-2.0
"""The answer to a request: a chunk of actions, or why there is none."""

import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.msg import ActionChunk
from dit_policy_ros.ros.common import stamp_ns, to_stamp

_LONGEST = 3600.0  # [s] of any time in an answer


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long the parts of an inference took [s], see ActionChunk.msg."""

    waiting: float = 0.0
    reading: float = 0.0
    encoding: float = 0.0
    sampling: float = 0.0

    @property
    def policy(self) -> float:
        """The policy alone [s]."""
        return self.encoding + self.sampling


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """See ActionChunk.msg for the fields.

    Attributes:
        actions: float32 (T, A) [rad or m]; None if there is a problem.
    """

    request: int
    epoch: int
    session: int
    policy: str
    problem: str = ""
    stamp_ns: int = 0
    period_ns: int = 0
    joints: tuple[str, ...] = ()
    actions: NDArray[np.float32] | None = None
    seed: int = 0
    unseen_state: str = ""
    observation_age: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)


def answer_message(answer: Answer) -> ActionChunk:
    """The message of an answer."""
    message = ActionChunk(
        request=answer.request,
        epoch=answer.epoch,
        session=answer.session,
        policy=answer.policy,
        problem=answer.problem,
        stamp=to_stamp(answer.stamp_ns),
        period=answer.period_ns / NANOSECONDS,
        joints=list(answer.joints),
        seed=answer.seed,
        unseen_state=answer.unseen_state,
        observation_age=answer.observation_age,
        waiting=answer.latencies.waiting,
        reading=answer.latencies.reading,
        encoding=answer.latencies.encoding,
        sampling=answer.latencies.sampling,
    )
    if answer.actions is not None:
        message.rows = len(answer.actions)
        message.actions = array.array("f", np.ascontiguousarray(answer.actions, np.float32).tobytes())
    return message


def answer_from(message: ActionChunk) -> Answer:
    """The answer in a message.

    Raises:
        ValueError: the actions are not rows x joints, or a time is negative or no number.
    """
    for name in ("period", "observation_age", "waiting", "reading", "encoding", "sampling"):
        # With a latency that is no number, an observation of any age would pass as a new one.
        if not 0.0 <= (seconds := getattr(message, name)) < _LONGEST:
            raise ValueError(f"{name} is {seconds} s")
    columns, values = len(message.joints), message.actions
    actions = None
    if not message.problem:
        if not message.rows or not columns or len(values) != message.rows * columns:
            raise ValueError(f"{len(values)} actions are not {message.rows} rows of {columns} joints")
        actions = np.array(values, np.float32).reshape(message.rows, columns)  # (T, A)
    return Answer(
        request=message.request,
        epoch=message.epoch,
        session=message.session,
        policy=message.policy,
        problem=message.problem,
        stamp_ns=stamp_ns(message.stamp),
        period_ns=round(message.period * NANOSECONDS),
        joints=tuple(message.joints),
        actions=actions,
        seed=message.seed,
        unseen_state=message.unseen_state,
        observation_age=message.observation_age,
        latencies=Latencies(message.waiting, message.reading, message.encoding, message.sampling),
    )
