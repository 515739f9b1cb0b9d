# SPDX-License-Identifier: Apache-2.0
"""The inference side as a whole, from the policy node's start to its end."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rclpy.node import Node

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.policy_interface import Familiarity
from dit_policy_ros.msg import InferenceStatus
from dit_policy_ros.ros.common import EventLog, GuardedLifecycleNode, ros_arguments
from dit_policy_ros.ros.inference_link._link import InferenceLink, LinkSettings
from dit_policy_ros.ros.inference_link._process import (
    InferenceProcess,
    inference_parameters,
    process_arguments,
)
from dit_policy_ros.ros.inference_link._remote_node import RemoteNode, SavedObservations
from dit_policy_ros.ros.inference_link._supervisor import Supervisor, SupervisorSettings
from dit_policy_ros.ros.inference_protocol import inference_node_name

PROCESS = "process"


class InferenceSide:
    """The inference node, wherever it runs, and who looks after it."""

    def __init__(
        self,
        node: GuardedLifecycleNode,
        arguments: Sequence[str],
        on_status: Callable[[InferenceStatus], None],
    ) -> None:
        """Listen to the inference node. Nothing is started.

        Args:
            node: the policy node.
            arguments: command line of the policy node, whose remappings and log level a child gets.
            on_status: called with each sign of life.
        """
        self._node, self._arguments = node, ros_arguments(arguments)
        self._remote = RemoteNode(node, inference_node_name(node.get_name()), on_status)
        self._supervisor: Supervisor | None = None
        self._where = ""
        self._receives = True

    def supervisor(self, where: str) -> Supervisor:
        """Who looks after the inference node. where: the parameter ``inference``."""
        if self._supervisor is None or where != self._where:
            if self._supervisor is not None:
                self._supervisor.close()
            self._where = where
            settings = SupervisorSettings(
                start_process=self._start_process if where == PROCESS else None,
                parameters=lambda: inference_parameters(self._node),
                is_shutting_down=self._node.is_shutting_down.is_set,
                logger=self._node.get_logger(),
            )
            self._supervisor = Supervisor(self._remote, settings)
        return self._supervisor

    def make_link(self, contract: Contract, settings: LinkSettings, events: EventLog) -> InferenceLink:
        """The link to the configured inference node."""
        return InferenceLink(
            self._node, self._remote, self.supervisor(self._where), contract, settings, events
        )

    def judge(self, task: str) -> Familiarity | None:
        """How familiar an instruction is, see ``RemoteNode``."""
        return self._remote.judge(task)

    def save_observations(self, folder: Path) -> Callable[[], SavedObservations]:
        """Ask for the observations of an incident, see ``RemoteNode``."""
        return self._remote.save_observations(folder, lambda: not self._receives)

    def stop_waiting(self) -> None:
        """Answers are no longer received from now on."""
        self._receives = False

    def close(self) -> None:
        """End the inference process, if there is one."""
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = None

    def _start_process(self, on_exit: Callable[[], None]) -> InferenceProcess:
        node: Node = self._node
        arguments = process_arguments(
            self._arguments, node.get_name(), self._remote.name, node.get_namespace()
        )
        return InferenceProcess(arguments, inference_parameters(node), on_exit)
