# SPDX-License-Identifier: Apache-2.0
"""Launch arguments, the simulated or mock robot, and lifecycle nodes that report failed transitions."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch import LaunchContext, SomeSubstitutionsType
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.events import matches_action
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.logging import get_logger
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

from dit_policy_ros.core.share import PACKAGE, share_directory
from dit_policy_ros.ros.common import profile_environment
from dit_policy_ros.ros.launching._mock_robot import ros2_control

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
            description="true: configure and activate the node. false: do that yourself with "
            "`ros2 lifecycle set`",
        ),
    ]


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
        return [_simulator(context)]
    if value(context, "robot") == "mock":
        # The simulator follows the same commands for its cameras. Joint states come from ros2_control.
        remappings = [("joint_states", "sim/joint_states")]
        return [*ros2_control(_end_launch), _simulator(context, remappings)]
    return []


def _simulator(context: LaunchContext, remappings: Sequence[tuple[str, str]] = ()) -> Node:
    """The simulator node, with the Fast DDS profile that image publishers need."""
    return Node(
        package=PACKAGE,
        executable="sim_node",
        name="sim",
        namespace="/",
        output="screen",
        parameters=[config_file(context)],
        remappings=list(remappings),
        additional_env=_as_substitutions(profile_environment(os.environ)),
        sigterm_timeout=TIME_TO_STOP,
        on_exit=_end_launch("the simulated robot ended"),
    )


def lifecycle_node(
    context: LaunchContext, executable: str, name: str, parameters: Sequence[Any]
) -> list[LaunchDescriptionEntity]:
    """A lifecycle node, which is configured and activated if autostart is true.

    A failed transition is logged with the command that tries it again. The other processes keep running, so
    that the user can fix the cause. When the node's process ends, the launch ends.
    """
    node = LifecycleNode(
        package=PACKAGE,
        executable=executable,
        name=name,
        namespace="/",
        output="screen",
        parameters=list(parameters),
        sigterm_timeout=TIME_TO_STOP,
        on_exit=_end_launch(f"{name} ended"),
    )
    entities = [_report_failure(node, name, "configure", "configuring", "unconfigured")]
    entities += [_report_failure(node, name, "activate", "activating", "inactive")]
    entities += [_report_failure(node, name, "configure", "errorprocessing", "unconfigured")]
    if value(context, "autostart") == "true":
        activate = _trigger(node, Transition.TRANSITION_ACTIVATE)
        entities += [
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=node,
                    start_state="configuring",
                    goal_state="inactive",
                    entities=[activate],
                )
            ),
            node,
            _trigger(node, Transition.TRANSITION_CONFIGURE),
        ]
    else:
        entities.append(node)
    return entities


def _end_launch(reason: str) -> Callable[[Any, LaunchContext], list[LaunchDescriptionEntity]]:
    def on_exit(_: Any, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [] if context.is_shutdown else [Shutdown(reason=reason)]

    return on_exit


def _trigger(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))


def _report_failure(
    node: LifecycleNode, name: str, transition: str, start_state: str, goal_state: str
) -> RegisterEventHandler:
    """Logs an error when the node goes from `start_state` to `goal_state`, which means that it failed."""

    def log(_: LaunchContext) -> None:
        get_logger(name).error(
            f"could not {transition} and is {goal_state}. The node's own message above says why. Fix the "
            f"cause, then run: ros2 lifecycle set /{name} {transition}"
        )

    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state=start_state,
            goal_state=goal_state,
            entities=[OpaqueFunction(function=log)],
        )
    )


def _as_substitutions(environment: Mapping[str, str]) -> dict[SomeSubstitutionsType, SomeSubstitutionsType]:
    return dict(environment)
