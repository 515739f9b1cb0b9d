# SPDX-License-Identifier: Apache-2.0
"""An inference node without a policy. The policy node cannot tell the difference, and guards the motion."""

import math
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.sensing import StreamBuffer
from dit_policy_ros.msg import ActionChunk, InferenceRequest, InferenceStatus, StreamState
from dit_policy_ros.ros.common import GuardedLifecycleNode, qos, stamp_ns, steady_timer, to_stamp
from dit_policy_ros.ros.inference_protocol import (
    Answer,
    PolicyDescription,
    Request,
    answer_message,
    fill_response,
    request_from,
    stream_state,
    this_host,
)
from dit_policy_ros.srv import DescribePolicy

_LATENCY = 0.02  # [s] that an answer may take
_STATUS_RATE = 20.0  # [Hz]
_ANSWER_RATE = 100.0  # [Hz] of looks for a joint state that fits a request
_REPEAT_AFTER = 0.15  # [s] a request that still comes after its answer: the answer was lost
_STATES = {"inactive": InferenceStatus.INACTIVE, "active": InferenceStatus.ACTIVE}


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What the policy node is told.

    Attributes:
        name: stands for the checkpoint's hash, and is the only known task.
        description: one line for the log.
        chunk: covered by a chunk [s].
    """

    name: str
    description: str
    chunk: float


class ChunkSource(GuardedLifecycleNode, ABC):
    """Answers a policy node's requests with what ``actions`` returns.

    Attributes:
        joints: the joint states' stream; set it before the node is configured.
    """

    def __init__(self, name: str, contract: Contract, facts: SourceFacts, **options: Any) -> None:
        """Wait to be configured by the policy node.

        Args:
            name: that the policy node expects of its inference node.
            contract: of the robot.
            facts: what the policy node is told.
            options: keyword arguments of the node.
        """
        super().__init__(name, **options)
        self.joints: StreamBuffer[np.ndarray] | None = None
        self._contract, self._facts, self._instance = contract, facts, secrets.randbits(63) + 1
        self._session = 0
        self._request: Request | None = None
        self._newest = (0, 0, 0)  # request: id, its stamp, its arrival [ns]
        self._answered: tuple[ActionChunk, float] | None = None  # and when it was sent [s], steady
        self._answer_lock = threading.RLock()
        self._chunks = self.create_publisher(ActionChunk, "~/chunk", qos.INFERENCE)
        self._status = self.create_publisher(InferenceStatus, "~/status", qos.SIGNS_OF_LIFE)
        self.create_subscription(InferenceRequest, "~/request", self._on_request, qos.INFERENCE)
        self.create_service(DescribePolicy, "~/describe_policy", self._on_describe)
        steady_timer(self, _STATUS_RATE, self._publish_status, MutuallyExclusiveCallbackGroup())
        steady_timer(self, _ANSWER_RATE, self.answer, MutuallyExclusiveCallbackGroup())

    def configure(self) -> None:
        """A new session."""
        self._session = secrets.randbits(63) + 1

    def start(self) -> None:
        """Answer from now on."""
        self._request = None

    # --- what a source decides -----------------------------------------------------------------------------

    @abstractmethod
    def actions(self, times_ns: np.ndarray) -> np.ndarray:
        """Where the joints should be at ``times_ns`` (K,) -> (K, A) [rad or m]."""

    def has_actions(self) -> bool:
        """Whether there is anything to answer with now; without, the policy node holds in the end."""
        return True

    def problem(self) -> str:
        """Why the arms must hold at once; empty if there is no reason."""
        return ""

    def stream_states(self) -> Sequence[StreamState]:
        """The streams that the motion depends on."""
        return () if self.joints is None else (stream_state(self.joints),)

    # --- the protocol --------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer the present request if a joint state fits it; each request once."""
        with self._answer_lock:
            request, joints, last = self._request, self.joints, self._answered
            is_done = last is not None and request is not None and last[0].request == request.id
            if request is None or joints is None or is_done or self.lifecycle_state != "active":
                return
            if problem := self.problem():
                self._send(Answer(request.id, request.epoch, self._session, self._facts.name, problem))
                return
            stamp = joints.newest_stamp_ns
            if stamp is None or stamp < request.earliest_ns or self._now_ns() < request.not_before_ns:
                return
            if not self.has_actions():
                return
            contract = self._contract
            times_ns = stamp + contract.dt_ns * np.arange(self._rows, dtype=np.int64)  # (T,)
            self._send(
                Answer(
                    request=request.id,
                    epoch=request.epoch,
                    session=self._session,
                    policy=self._facts.name,
                    stamp_ns=stamp,
                    period_ns=contract.dt_ns,
                    joints=contract.joints,
                    actions=self.actions(times_ns).astype(np.float32),
                    observation_age=max(0.0, (self._now_ns() - stamp) / NANOSECONDS),
                )
            )

    def _on_request(self, message: InferenceRequest) -> None:
        self._newest = message.id, stamp_ns(message.stamp), self._now_ns()
        request = request_from(message)
        with self._answer_lock:
            self._request = request if request.wanted and request.session == self._session else None
            last = self._answered
            if last is None or not request.wanted or last[0].request != request.id:
                self.answer()
            elif time.monotonic() - last[1] > _REPEAT_AFTER:
                self._publish(last[0])

    def _send(self, answer: Answer) -> None:
        self._publish(answer_message(answer))

    def _publish(self, message: ActionChunk) -> None:
        self._chunks.publish(message)
        self._answered = message, time.monotonic()

    def _publish_status(self) -> None:
        number, sent_ns, received_ns = self._newest
        message = InferenceStatus(
            instance=self._instance,
            state=_STATES.get(self.lifecycle_state, InferenceStatus.UNCONFIGURED),
            in_transition=self.in_transition,
            session=self._session if self.is_configured else 0,
            request=number,
            request_stamp=to_stamp(sent_ns),
            request_received=to_stamp(received_ns),
        )
        message.streams = list(self.stream_states())
        message.stamp = to_stamp(self._now_ns())
        self._status.publish(message)

    def _on_describe(
        self, _: DescribePolicy.Request, response: DescribePolicy.Response
    ) -> DescribePolicy.Response:
        response.message = self.last_failure
        if self.is_configured:
            contract, names = self._contract, self._contract.layout.names
            described = PolicyDescription(
                session=self._session,
                policy=self._facts.name,
                checkpoint=f"({self._facts.name})",
                description=self._facts.description,
                device="cpu",
                backend="none",
                host=this_host(),
                steps=1,
                uses_previous=False,
                fps=contract.fps,
                joint_names=names,
                vectors=(),
                action_names=names,
                known_tasks=(self._facts.name,),
                image_shapes=self.image_shapes,
                state_dim=len(names),
                action_dim=len(names),
                n_obs_steps=1,
                horizon=self._rows,
                latency_p95=_LATENCY,
                parameters={},
            )
            fill_response(described, response)
        return response

    @property
    def image_shapes(self) -> dict[str, tuple[int, int]]:
        """Height and width [pixel] of the cameras whose loss must stop the arms."""
        return {}

    @property
    def _rows(self) -> int:
        return math.ceil(self._facts.chunk * self._contract.fps) + 1

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds
