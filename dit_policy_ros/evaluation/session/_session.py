# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes of their own, driven through their ROS interfaces."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

import dit_policy_ros
from dit_policy_ros.core.child_processes import Child, start, stop_all
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.evaluation.session._interrupts import held_interrupts
from dit_policy_ros.evaluation.session._ros_domain import claimed_domain
from dit_policy_ros.ros.common import profile_environment
from dit_policy_ros.srv import SetTask

APPEARS_WITHIN = 60.0  # [s] for a node's services, on a slow machine that imports torch for the first time
ANSWERS_WITHIN = 90.0  # [s] for a service; configuring loads the checkpoint and warms it up
STOPS_WITHIN = 12.0  # [s] until nodes that do not end by themselves are killed


class SessionError(DitPolicyError):
    """A node died, never came up, or refused a transition or a task."""


@contextlib.contextmanager
def ros_environment(logs: Path) -> Iterator[dict[str, str]]:
    """The environment of this session's nodes; rclpy is initialised in the same domain while the block runs.

    A domain that the user set is kept; otherwise a free one is claimed and discovery stays on this machine.
    """
    environment = {**os.environ, "ROS_LOG_DIR": str(logs), "PYTHONUNBUFFERED": "1"}
    source = str(Path(dit_policy_ros.__file__).parents[1])  # the nodes are of the same tree as this program
    environment["PYTHONPATH"] = os.pathsep.join(p for p in (source, os.environ.get("PYTHONPATH")) if p)
    with contextlib.ExitStack() as stack:
        if "ROS_DOMAIN_ID" not in os.environ:
            environment["ROS_DOMAIN_ID"] = str(stack.enter_context(claimed_domain()))
            environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        mine = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR")
        os.environ.update({name: environment[name] for name in mine if name in environment})
        rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        yield environment


@dataclass(slots=True)
class Session:
    """The nodes and this program's own node. Everything happens in the calling thread."""

    node: Node
    executor: SingleThreadedExecutor
    children: tuple[Child, ...]
    on_turn: Callable[[], None] = lambda: None

    def turn(self) -> None:
        """Takes in at most one message or answer. Raises SessionError when a node is gone."""
        with held_interrupts():
            self.executor.spin_once(timeout_sec=0.02)
        for child in self.children:
            if not child.alive:
                raise SessionError(
                    f"the node {child.name} ended with exit code {child.process.returncode}; "
                    f"the end of its output ({child.log}):\n{child.output(last_lines=15)}"
                )
        self.on_turn()

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Turns until the condition holds (True) or `timeout` [s] is over (False)."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.turn()
        return True

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Calls a service and returns its answer. Raises SessionError when none comes."""
        client = self.node.create_client(kind, name)
        try:
            if not self.wait(client.service_is_ready, APPEARS_WITHIN):
                raise SessionError(f"the service {name} did not appear within {APPEARS_WITHIN:g} s")
            future = client.call_async(request)
            if not self.wait(future.done, ANSWERS_WITHIN):
                raise SessionError(f"the service {name} did not answer within {ANSWERS_WITHIN:g} s")
            return future.result()
        finally:
            self.node.destroy_client(client)

    def transition(self, number: int, name: str = "policy") -> None:
        """Takes a node through one lifecycle transition. Raises SessionError with its reason."""
        names = {
            Transition.TRANSITION_CONFIGURE: "configured",
            Transition.TRANSITION_ACTIVATE: "activated",
            Transition.TRANSITION_DEACTIVATE: "deactivated",
        }
        request = ChangeState.Request(transition=Transition(id=number))
        if not self.call(ChangeState, f"/{name}/change_state", request).success:
            child = next(each for each in self.children if each.name == name)
            raise SessionError(
                f"the node {name} could not be {names[number]}; the end of its output ({child.log}):\n"
                f"{child.output(last_lines=15)}"
            )

    def set_task(self, task: str, name: str = "policy") -> None:
        """Gives a node its instruction. Raises SessionError when it is refused."""
        answer = self.call(SetTask, f"/{name}/set_task", SetTask.Request(task=task))
        if not answer.success:
            raise SessionError(f"the node {name} refuses the task: {answer.message}")

    def new_scene(self, seed: int) -> None:
        """Has the simulator begin the scene of a seed. Raises SessionError when it does not."""
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="seed", value=value)])
        result = self.call(SetParameters, "/sim/set_parameters", request).results[0]
        if not result.successful:
            raise SessionError(f"the simulator refuses seed {seed}: {result.reason}")
        answer = self.call(Trigger, "/sim/reset", Trigger.Request())
        if not answer.success:
            raise SessionError(f"the simulator does not begin a new scene: {answer.message}")


@contextlib.contextmanager
def running_session(
    environment: Mapping[str, str],
    logs: Path,
    policy_parameters: Mapping[str, str],
    sim_parameters: Mapping[str, str],
) -> Iterator[Session]:
    """Starts simulator and policy node (unconfigured), and stops them at the end, however the block ends."""
    # The policy stops first: it brakes the arms while the robot is still there.
    nodes = {
        "policy": ("policy.policy_node", policy_parameters, config_path()),
        "sim": ("sim.sim_node", sim_parameters, None),
    }
    with running_nodes(environment, logs, nodes) as session:
        yield session


def config_path() -> Path:
    """The contract of the simulated robot."""
    return share_directory() / "config" / "bimanual.yaml"


@contextlib.contextmanager
def running_nodes(
    environment: Mapping[str, str],
    logs: Path,
    nodes: Mapping[str, tuple[str, Mapping[str, str], Path | None]],
) -> Iterator[Session]:
    """Starts nodes, and stops them in the same order at the end, however the block ends.

    Args:
        environment: of ``ros_environment``.
        logs: folder for their output.
        nodes: by the node's name its module in ``ros``, parameters, and a file of parameters or None.
    """
    children: list[Child] = []
    node = Node("dit_policy_session", use_global_arguments=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        for name, (module, parameters, config) in nodes.items():
            files = ["--params-file", str(config)] if config else []
            given = [part for key, text in parameters.items() for part in ("-p", f"{key}:={text}")]
            command = [sys.executable, "-m", f"dit_policy_ros.ros.{module}", "--ros-args", *files, *given]
            profile = profile_environment(environment) if module == "sim.sim_node" else {}
            children.append(start(name, command, {**environment, **profile}, logs / f"{name}.log"))
        yield Session(node, executor, tuple(children))
    finally:
        stop_all(children, STOPS_WITHIN)
        executor.shutdown()
        node.destroy_node()
