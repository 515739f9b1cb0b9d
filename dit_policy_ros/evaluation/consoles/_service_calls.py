# SPDX-License-Identifier: Apache-2.0
"""Calls of services that never block, and that always end with an answer or with the word that none came."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.task import Future

ANSWERS_WITHIN = 10.0  # [s] after which an operator is told that there is no answer


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended. message: for the operator. response: the service's own; None without one."""

    success: bool
    message: str
    response: Any = None


OnAnswer = Callable[[Answer], None]


@dataclass(slots=True)
class _Open:
    service: str
    deadline: float  # [s] on time.monotonic()
    on_answer: OnAnswer
    is_told: bool = False


class ServiceCalls:
    """Calls services of other nodes without waiting. The caller spins the node and calls ``expire``.

    Every call is answered: by the service, at once if the service does not exist, or after a time that it
    did not answer. A service that answers later than that is heard, too.

    Args:
        node: gets the clients.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._clients: dict[str, Any] = {}
        self._open: dict[Future, _Open] = {}
        self._lock = threading.Lock()

    def prepare(self, kind: Any, service: str) -> None:
        """Make the client now, so that the service is found before its first call."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._node.create_client(kind, service)

    def call(
        self,
        kind: Any,
        service: str,
        request: Any,
        on_answer: OnAnswer,
        *,
        timeout: float = ANSWERS_WITHIN,
    ) -> None:
        """Call a service by its full name. on_answer may be called from any thread, and twice: see above."""
        self.prepare(kind, service)
        client = self._clients[service]
        if not client.service_is_ready():
            on_answer(Answer(False, f"the service {service} does not exist; is the node running?"))
            return
        future = client.call_async(request)
        with self._lock:
            self._open[future] = _Open(service, time.monotonic() + timeout, on_answer)
        future.add_done_callback(self._on_done)

    def is_ready(self, service: str) -> bool:
        """Whether a prepared service exists now."""
        client = self._clients.get(service)
        return client is not None and client.service_is_ready()

    def expire(self, now: float) -> None:
        """Tell those who wait too long. now: ``time.monotonic()`` [s]."""
        with self._lock:
            late = [call for call in self._open.values() if not call.is_told and now > call.deadline]
            for call in late:
                call.is_told = True
        for call in late:
            call.on_answer(
                Answer(False, f"no answer from {call.service}. It may still be carried out: watch the state")
            )

    def _on_done(self, future: Future) -> None:
        with self._lock:
            call = self._open.pop(future, None)
        if call is None:
            return
        if (error := future.exception()) is not None:
            call.on_answer(Answer(False, f"{call.service} failed: {error}"))
            return
        response: Any = future.result()
        if response is not None:
            success, message = getattr(response, "success", True), getattr(response, "message", "")
            call.on_answer(Answer(bool(success), message, response))
