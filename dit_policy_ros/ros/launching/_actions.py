# SPDX-License-Identifier: Apache-2.0
"""Launch arguments, their namespace, and the simulated or mock robot."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch import LaunchContext, SomeSubstitutionsType
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction, Shutdown
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import Node, PushRosNamespace

from dit_policy_ros.core.share import PACKAGE, share_directory
from dit_policy_ros.core.transport_profile import profile_environment
from dit_policy_ros.ros.launching._mock_robot import ros2_control, simulator_remappings

TIME_TO_STOP = "15"  # [s] from SIGINT to SIGTERM: time for a node to brake the arms and end its inference


def robot_arguments() -> list[DeclareLaunchArgument]:
    """The arguments of every launch file in this package."""
    return [
        DeclareLaunchArgument(
            "robot",
            default_value="sim",
            choices=["sim", "mock", "external"],
            description="sim: start the MuJoCo robot. mock: start the real ros2_control controllers on mock "
            "hardware, with the simulator's cameras (ros2_control and ros2_controllers must be installed). "
            "external: use the cameras, joint states and controllers of a robot that is already running",
        ),
        DeclareLaunchArgument(
            "config",
            default_value=str(share_directory() / "config" / "bimanual.yaml"),
            description="parameter file with the robot contract (joints, controllers, cameras, limits) and "
            "the parameters of the nodes. Copy the default file and adapt it to your robot",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=["true", "false"],
            description="true: configure and activate the node once, when it has started. What you configure "
            "later by hand stays inactive. false: do both yourself with `ros2 lifecycle set`",
        ),
        DeclareLaunchArgument(
            "namespace",
            default_value="",
            description="namespace of all nodes, and with them of their topics and controllers, for example "
            "left_cell; below the namespace of a launch file that includes this one",
        ),
    ]


def node_name_argument(default: str) -> DeclareLaunchArgument:
    """The argument for the lifecycle node's name, which `node_name` reads."""
    return DeclareLaunchArgument(
        "node_name",
        default_value=default,
        description="name of the node, and with it of its services and topics; its parameters stand in the "
        f"section /{default} of the config file, whatever its name",
    )


def in_namespace(start: Callable[[LaunchContext], list[LaunchDescriptionEntity]]) -> GroupAction:
    """Everything that `start` returns, in the namespace of the launch argument."""
    return GroupAction([OpaqueFunction(function=_push_namespace), OpaqueFunction(function=start)])


def _push_namespace(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """A launch file that pushes its own argument `namespace` passes it on as well: push it only once."""
    wanted, present = value(context, "namespace"), context.launch_configurations.get("ros_namespace", "")
    is_there = not wanted.startswith("/") and f"{present}/".endswith(f"/{wanted.strip('/')}/")
    return [] if is_there else [PushRosNamespace(wanted)]


def value(context: LaunchContext, name: str) -> str:
    """The value of a launch argument."""
    return context.launch_configurations[name]


def config_file(context: LaunchContext) -> str:
    """Absolute path of the parameter file. Raises FileNotFoundError, whose message ends the launch."""
    path = os.path.abspath(os.path.expanduser(value(context, "config")))
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"config:={value(context, 'config')} is not a file. Expected a parameter file like "
            f"{share_directory() / 'config' / 'bimanual.yaml'}."
        )
    return path


def robot(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The processes of the robot that robot:=... selects. None for an external robot."""
    if value(context, "robot") == "sim":
        return [_simulator(context, {})]
    if value(context, "robot") == "mock":
        beside = {"allow_other_robot": True}
        return [*ros2_control(context, end_launch), _simulator(context, beside, simulator_remappings())]
    return []


def robot_topic(context: LaunchContext) -> str:
    """A topic that tells that the simulated robot is up. Empty for another robot."""
    namespace = context.launch_configurations.get("ros_namespace", "").rstrip("/")
    return f"{namespace}/sim/referee" if value(context, "robot") == "sim" else ""


def _simulator(
    context: LaunchContext, parameters: Mapping[str, bool], remappings: Sequence[tuple[str, str]] = ()
) -> Node:
    """The simulator node, with the Fast DDS profile that image publishers need."""
    return Node(
        package=PACKAGE,
        executable="sim_node",
        name="sim",
        output="screen",
        parameters=[config_file(context), *([dict(parameters)] if parameters else [])],
        remappings=list(remappings),
        additional_env=_as_substitutions(profile_environment(os.environ)),
        sigterm_timeout=TIME_TO_STOP,
        on_exit=end_launch("the simulated robot ended"),
    )


def end_launch(reason: str) -> Callable[[Any, LaunchContext], list[LaunchDescriptionEntity]]:
    """An exit handler of a process that the launch cannot do without."""

    def on_exit(_: Any, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [] if context.is_shutdown else [Shutdown(reason=reason)]

    return on_exit


def _as_substitutions(environment: Mapping[str, str]) -> dict[SomeSubstitutionsType, SomeSubstitutionsType]:
    return dict(environment)
