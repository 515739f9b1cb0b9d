# SPDX-License-Identifier: Apache-2.0
"""The recorder's newest status and its services."""

import time
from typing import Any

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from dit_policy_ros.evaluation.consoles._service_calls import ANSWERS_WITHIN, Answer, ServiceCalls
from dit_policy_ros.msg import EpisodeReport, RecorderStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.srv import SetTask, StartEpisode, StopEpisode

_SILENT_AFTER = 2.0  # [s] without a status, the recorder counts as gone
_SERVICES = {
    "start_episode": StartEpisode,
    "stop_episode": StopEpisode,
    "set_task": SetTask,
    "rerecord": Trigger,
    "recover": SetBool,
}


class RecorderClient:
    """Calls the recorder without waiting for its answers.

    Args:
        node: gets the subscription and the clients; the caller spins it.
        recorder: full name of the recorder node.
        answers_within: time after which the operator is told that there is no answer [s].

    Attributes:
        status: the newest one; None before the first.
        message: the answer to the last call, or what is wrong.
        is_refused: the message says that something was not done.
        report: of the newest saved episode; None if a new one has begun.
    """

    def __init__(self, node: Node, recorder: str, answers_within: float = ANSWERS_WITHIN) -> None:
        self.status: RecorderStatus | None = None
        self.message = "waiting for the recorder"
        self.is_refused = False
        self.report: EpisodeReport | None = None
        self._received = 0.0  # [s] time.monotonic() of the newest status
        self._recorder = recorder
        self._answers_within = answers_within
        self._calls = ServiceCalls(node)
        for name, kind in _SERVICES.items():
            self._calls.prepare(kind, f"{recorder}/{name}")
        node.create_subscription(RecorderStatus, f"{recorder}/status", self._on_status, qos.STATUS)

    @property
    def is_alive(self) -> bool:
        """Whether a status arrived recently."""
        return self.status is not None and time.monotonic() - self._received < _SILENT_AFTER

    @property
    def is_recording(self) -> bool:
        """Whether an episode is being recorded."""
        return self.status is not None and self.status.state == RecorderStatus.RECORDING

    @property
    def has_episode(self) -> bool:
        """Whether an episode is being recorded, or has ended and waits for its label."""
        states = (RecorderStatus.RECORDING, RecorderStatus.ENDED)
        return self.status is not None and self.status.state in states

    def start_episode(self, task: str) -> None:
        """Begin an episode."""
        self._call("start_episode", StartEpisode.Request(task=task))

    def stop_episode(self, save: bool, success: bool) -> None:
        """End the running episode; save=False discards it."""
        self._call("stop_episode", StopEpisode.Request(save=save, success_label=success))

    def set_task(self, task: str) -> None:
        """Change the instruction of the running episode."""
        self._call("set_task", SetTask.Request(task=task))

    def rerecord(self) -> None:
        """Discard the running episode and begin it again."""
        self._call("rerecord", Trigger.Request())

    def recover(self, keep: bool) -> None:
        """Keep or discard the episodes that a crash interrupted."""
        self._call("recover", SetBool.Request(data=keep))

    def expire(self, now: float) -> None:
        """Say which calls have no answer for too long. now: ``time.monotonic()`` [s]."""
        self._calls.expire(now)

    def _call(self, name: str, request: Any) -> None:
        self.message, self.is_refused = f"{name}: waiting for the answer", False
        service = f"{self._recorder}/{name}"
        timeout = self._answers_within
        self._calls.call(_SERVICES[name], service, request, self._on_answer, timeout=timeout)

    def _on_answer(self, answer: Answer) -> None:
        self.message, self.is_refused = answer.message, not answer.success
        report = getattr(answer.response, "report", None)
        if report is not None and report.episode_index >= 0:
            self.report = report

    def _on_status(self, status: RecorderStatus) -> None:
        before = self.status
        if before is None or before.state != status.state:
            if status.state == RecorderStatus.RECORDING:
                self.report = None  # also an episode that a pedal or another console began
            if before is None or self.is_refused:
                self.message, self.is_refused = "", False  # what prevented it may be over
        self.status, self._received = status, time.monotonic()
