# SPDX-License-Identifier: Apache-2.0
"""A node that answers as policy and recorder do, and remembers who asked what. Importing it needs rclpy."""

import threading
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from dit_policy_ros.msg import PolicyStatus, RecorderStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.srv import RelabelEpisode, SetTask, StartEpisode, StopEpisode, TakeOver

SERVICES = {
    "/policy/set_task": SetTask,
    "/policy/resume": Trigger,
    "/policy/take_over": TakeOver,
    "/policy/hand_back": Trigger,
    "/policy/home": Trigger,
    "/policy/e_stop": SetBool,
    "/policy/save_incident": Trigger,
    "/recorder/start_episode": StartEpisode,
    "/recorder/stop_episode": StopEpisode,
    "/recorder/set_task": SetTask,
    "/recorder/rerecord": Trigger,
    "/recorder/recover": SetBool,
    "/recorder/change_state": ChangeState,
    "/recorder/relabel_episode": RelabelEpisode,
}


class PanelNodes(Node):
    """Publishes both statuses at 20 Hz.

    Attributes:
        called: name and request of each call, in order.
        policy, recorder: the statuses that are published; None: silent.
        deaf: services that are called without effect, as if the request were lost.
    """

    def __init__(self) -> None:
        super().__init__("policy_and_recorder")
        self.called: list[tuple[str, Any]] = []
        self.policy: PolicyStatus | None = PolicyStatus(state=PolicyStatus.RUNNING, state_name="running")
        self.recorder: RecorderStatus | None = RecorderStatus(state=RecorderStatus.READY, state_name="ready")
        self.deaf: set[str] = set()
        self._to_policy = self.create_publisher(PolicyStatus, "/policy/status", qos.STATUS)
        self._to_recorder = self.create_publisher(RecorderStatus, "/recorder/status", qos.STATUS)
        for name, kind in SERVICES.items():
            self.create_service(
                kind, name, lambda request, response, n=name: self._answer(n, request, response)
            )
        self.create_timer(0.05, self._publish)

    @property
    def names(self) -> list[str]:
        """Names of the services that were called."""
        return [name for name, _ in self.called]

    def _answer(self, name: str, request: Any, response: Any) -> Any:
        self.called.append((name, request))
        response.success = name not in self.deaf
        if hasattr(response, "message"):
            response.message = f"{name} was called"
        if name not in self.deaf and name == "/policy/e_stop" and self.policy is not None:
            self.policy.e_stop = request.data
        if name == "/recorder/start_episode" and self.recorder is not None:
            self.recorder.state, self.recorder.state_name = RecorderStatus.RECORDING, "recording"
        if name == "/recorder/stop_episode" and self.recorder is not None:
            self.recorder.state, self.recorder.state_name = RecorderStatus.READY, "ready"
            response.report.episode_index = 7 if request.save else -1
            response.report.passed = True
        return response

    def _publish(self) -> None:
        if self.policy is not None:
            self._to_policy.publish(self.policy)
        if self.recorder is not None:
            self._to_recorder.publish(self.recorder)


class MuteRecorder(Node):
    """A recorder whose start never ends by itself.

    Attributes:
        wake: set it to let the service answer.
    """

    def __init__(self) -> None:
        super().__init__("mute")
        self.wake = threading.Event()
        self.create_service(StartEpisode, "~/start_episode", self._sleep)

    def _sleep(self, _: StartEpisode.Request, response: StartEpisode.Response) -> StartEpisode.Response:
        self.wake.wait(20.0)
        return response
