# SPDX-License-Identifier: Apache-2.0
"""The recorder's newest status and its services."""

import time
from typing import Any

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from dit_policy_ros.msg import RecorderStatus
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

    Attributes:
        status: the newest one; None before the first.
        message: the answer to the last call, or what is wrong.
    """

    def __init__(self, node: Node, recorder: str) -> None:
        self.status: RecorderStatus | None = None
        self.message = "waiting for the recorder"
        self._received = 0.0  # [s] time.monotonic() of the newest status
        self._clients = {
            name: node.create_client(service, f"{recorder}/{name}") for name, service in _SERVICES.items()
        }
        node.create_subscription(RecorderStatus, f"{recorder}/status", self._on_status, qos.STATUS)

    @property
    def is_alive(self) -> bool:
        """Whether a status arrived recently."""
        return self.status is not None and time.monotonic() - self._received < _SILENT_AFTER

    @property
    def is_recording(self) -> bool:
        """Whether an episode has frames."""
        return self.status is not None and self.status.frames > 0

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

    def _call(self, name: str, request: Any) -> None:
        client = self._clients[name]
        if not client.service_is_ready():
            self.message = f"the recorder's service {name} does not exist; is the recorder running?"
            return
        self.message = "..."
        client.call_async(request).add_done_callback(self._on_answer)

    def _on_answer(self, future: Future) -> None:
        answer: Any = future.result()
        self.message = answer.message
        warnings = getattr(getattr(answer, "report", None), "warnings", ())
        self.message += "".join(f"\n! {warning}" for warning in warnings)

    def _on_status(self, status: RecorderStatus) -> None:
        self.status, self._received = status, time.monotonic()
