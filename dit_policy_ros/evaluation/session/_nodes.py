# SPDX-License-Identifier: Apache-2.0
"""Starts nodes as child processes and stops them."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from dit_policy_ros.core.child_processes import Child, start, stop_all
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.core.transport_profile import profile_environment
from dit_policy_ros.evaluation.session._session import Session
from dit_policy_ros.ros.common import CONTRACT_PARAMETERS

STOPS_WITHIN = 12.0  # [s] after that, nodes that have not ended by themselves are killed
_SIM_MODULE = "sim.sim_node"
LOOKED_ALREADY = {"discovery_time": "0.0"}  # of the simulator: ros_environment has looked for others


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """How to start a node.

    Attributes:
        module: below ``dit_policy_ros.ros``, for example "policy.policy_node".
        parameters: parameter values as text, by name, as after ``-p NAME:=``.
        parameter_file: YAML file of parameters; ``parameters`` override it.
        ros_arguments: further ones, as after ``--ros-args``.
    """

    module: str
    parameters: Mapping[str, str]
    parameter_file: Path | None = None
    ros_arguments: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """The command line."""
        files = ["--params-file", str(self.parameter_file)] if self.parameter_file else []
        given = [part for name, text in self.parameters.items() for part in ("-p", f"{name}:={text}")]
        module = f"dit_policy_ros.ros.{self.module}"
        return [sys.executable, "-m", module, "--ros-args", *files, *given, *self.ros_arguments]


@contextlib.contextmanager
def running_nodes(
    environment: Mapping[str, str],
    logs: Path,
    commands: Mapping[str, NodeCommand],
    ros_arguments: Sequence[str] = (),
) -> Iterator[Session]:
    """Start nodes; when the block ends, for whatever reason, stop them in the same order.

    Args:
        environment: from ``ros_environment``.
        logs: folder for the nodes' output.
        commands: by the node's name.
        ros_arguments: of this program's own node, as after ``--ros-args``; its namespace is the nodes', too.
    """
    children: list[Child] = []
    own = ["--ros-args", *ros_arguments] if ros_arguments else None
    node = Node("dit_policy_session", cli_args=own, use_global_arguments=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        for name, command in commands.items():
            profile = profile_environment(environment) if command.module == _SIM_MODULE else {}
            children.append(
                start(name, command.arguments(), {**environment, **profile}, logs / f"{name}.log")
            )
        yield Session(node, executor, tuple(children))
    finally:
        stop_all(children, STOPS_WITHIN)
        executor.shutdown()
        node.destroy_node()


def session_commands(
    policy_parameters: Mapping[str, str], sim_parameters: Mapping[str, str]
) -> dict[str, NodeCommand]:
    """How the two nodes of a session start, by name.

    What the policy's parameters say of the contract holds for the simulated robot, too.
    """
    contract = {
        name: text
        for name, text in policy_parameters.items()
        if any(entry.matches(name) for entry in CONTRACT_PARAMETERS)
    }
    file = config_path() if contract else None
    # The policy stops first: it brakes the arms while the robot is still there.
    return {
        "policy": NodeCommand("policy.policy_node", policy_parameters, config_path()),
        "sim": NodeCommand(_SIM_MODULE, {**LOOKED_ALREADY, **contract, **sim_parameters}, file),
    }


@contextlib.contextmanager
def running_session(
    environment: Mapping[str, str],
    logs: Path,
    policy_parameters: Mapping[str, str],
    sim_parameters: Mapping[str, str],
) -> Iterator[Session]:
    """Start the simulator and the policy node (unconfigured); stop them when the block ends."""
    commands = session_commands(policy_parameters, sim_parameters)
    with running_nodes(environment, logs, commands) as session:
        yield session


def config_path() -> Path:
    """The parameter file of the simulated robot, with its contract."""
    return share_directory() / "config" / "bimanual.yaml"
