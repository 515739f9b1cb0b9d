# SPDX-License-Identifier: Apache-2.0
"""Launch arguments, their namespace, and the simulated or mock robot."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription, SomeSubstitutionsType
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction, Shutdown
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.utilities import perform_substitutions
from launch_ros.actions import Node, PushRosNamespace

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.problems import did_you_mean, listing
from dit_policy_ros.core.share import PACKAGE, ready_robots, share_directory
from dit_policy_ros.core.transport_profile import profile_environment
from dit_policy_ros.ros.launching._mock_robot import ros2_control, simulator_remappings

TIME_TO_STOP = "15"  # [s] from SIGINT to SIGTERM: time for a node to brake the arms and end its inference


def launch_description(
    file: str,
    arguments: Sequence[DeclareLaunchArgument],
    start: Callable[[LaunchContext], list[LaunchDescriptionEntity]],
    robot: bool = True,
) -> LaunchDescription:
    """What a launch file of this package describes.

    Args:
        file: path of the launch file.
        arguments: its own; those of every file (robot, config, ...) come on top.
        start: returns what is launched, in the namespace of the launch argument.
        robot: whether it brings up a robot with a lifecycle node, and has the arguments for that.
    """
    declared = [*(_robot_arguments() if robot else []), *_common_arguments(), *arguments]

    def refuse_unknown(_: LaunchContext) -> None:
        names = [argument.name for argument in declared]
        if lines := unknown_arguments(sys.argv, file, names):
            raise ParameterError(
                " ".join(lines)
                + f" The arguments of {os.path.basename(file)} are: {listing(names)}. The nodes' "
                "parameters stand in the file that config:= names"
            )

    role = next(argument.default_value for argument in arguments if argument.name == "node_name")

    def panel(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return _panel(context, perform_substitutions(context, list(role or ())))

    steps = [refuse_unknown, _push_namespace, start, *([panel] if robot else [])]
    return LaunchDescription([*declared, GroupAction([OpaqueFunction(function=step) for step in steps])])


def unknown_arguments(command_line: Sequence[str], file: str, names: Sequence[str]) -> list[str]:
    """One line per argument that a user has given to this launch file and that it does not have.

    `ros2 launch` ignores such arguments. Those of a launch file that includes this one are its own affair.

    Args:
        command_line: of the process, `ros2 launch PACKAGE FILE NAME:=VALUE ...` or `ros2 launch PATH ...`.
        file: path of the launch file.
        names: of its arguments.
    """
    for number, part in enumerate(command_line[1:], start=1):
        is_path = os.path.isfile(part) and os.path.samefile(part, file)
        if is_path or (part == os.path.basename(file) and command_line[number - 1] == PACKAGE):
            given = [each.partition(":=")[0] for each in command_line[number + 1 :] if ":=" in each]
            return [
                f"There is no launch argument '{name}'.{did_you_mean(name, names)}"
                for name in given
                if name not in names
            ]
    return []


def _robot_arguments() -> list[DeclareLaunchArgument]:
    """The arguments of the launch files that bring up a robot."""
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
            "scene",
            default_value="",
            description="with robot:=sim: the MJCF of the robot in the config file, or another scene that "
            "sim_node takes. Empty: the value in the config file, or the built-in robot with three cubes",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=["true", "false"],
            description="true: configure and activate the node once, when it has started. What you configure "
            "later by hand stays inactive. false: do both yourself with `ros2 lifecycle set`",
        ),
        DeclareLaunchArgument(
            "panel",
            default_value="false",
            description="true: start the panel for a browser on this computer (docs/panel.md); it prints its "
            "address. An address like 0.0.0.0: the same for tablets in the network. false: none",
        ),
    ]


def _common_arguments() -> list[DeclareLaunchArgument]:
    """The arguments of every launch file in this package."""
    return [
        DeclareLaunchArgument(
            "config",
            default_value=str(share_directory() / "config" / "bimanual.yaml"),
            description="parameter file with the robot contract (joints, controllers, cameras, limits) and "
            "the parameters of the nodes. Copy the default file and adapt it to your robot. Or a ready "
            f"robot: {listing(ready_robots())}",
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
    given, ready = value(context, "config"), ready_robots()
    path = os.path.abspath(os.path.expanduser(given))
    if os.path.isfile(path):
        return path
    if given in ready:
        return str(ready[given])
    raise FileNotFoundError(
        f"config:={given} is not a file.{did_you_mean(given, ready)} Expected a parameter file like "
        f"{share_directory() / 'config' / 'bimanual.yaml'}, or a ready robot: {listing(ready)}."
    )


def robot(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The processes of the robot that robot:=... selects. None for an external robot."""
    if value(context, "robot") == "sim":
        scene = value(context, "scene")
        # A file is meant from where the user is, as config:= is.
        path = os.path.abspath(os.path.expanduser(scene))
        return [_simulator(context, {"scene": path if os.path.isfile(path) else scene} if scene else {})]
    if value(context, "scene"):
        raise ParameterError(f"scene:= is for robot:=sim, not for robot:={value(context, 'robot')}")
    if value(context, "robot") == "mock":
        if (name := Path(config_file(context)).stem) in ready_robots():
            raise ParameterError(
                f"robot:=mock has the built-in robot's description alone, not that of {name}: use "
                "robot:=sim, or bring up the controllers with its own description and use robot:=external"
            )
        beside = {"allow_other_robot": True}
        return [*ros2_control(context, end_launch), _simulator(context, beside, simulator_remappings())]
    return []


def _panel(context: LaunchContext, role: str) -> list[LaunchDescriptionEntity]:
    """The panel, if panel:=... asks for it. Nothing depends on it. role: "policy" or "recorder"."""
    if (asked := value(context, "panel")) == "false":
        return []
    host = [] if asked == "true" else ["--host", asked]
    namespace = context.launch_configurations.get("ros_namespace", "") or "/"
    names = ["--namespace", namespace, f"--{role}", value(context, "node_name")]
    return [Node(package=PACKAGE, executable="panel", output="screen", arguments=[*names, *host])]


def robot_topic(context: LaunchContext) -> str:
    """A topic that tells that the simulated robot is up. Empty for another robot."""
    namespace = context.launch_configurations.get("ros_namespace", "").rstrip("/")
    return f"{namespace}/sim/referee" if value(context, "robot") == "sim" else ""


def _simulator(
    context: LaunchContext, parameters: Mapping[str, bool | str], remappings: Sequence[tuple[str, str]] = ()
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
