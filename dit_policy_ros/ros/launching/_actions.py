# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: arguments, the simulated robot, lifecycle nodes that say what went wrong."""

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

TIME_TO_STOP = "15"  # [s] between SIGINT and SIGTERM: a node brakes the arms and ends its inference first


def robot_arguments() -> list[DeclareLaunchArgument]:
    """The arguments that every launch file of this package has."""
    return [
        DeclareLaunchArgument(
            "robot",
            default_value="sim",
            choices=["sim", "mock", "external"],
            description="sim starts the MuJoCo robot; mock starts ros2_control's real controllers on mock "
            "hardware, with the simulator's cameras (needs ros2_control and ros2_controllers installed); "
            "external expects cameras, joint states and controllers of a robot that runs already",
        ),
        DeclareLaunchArgument(
            "config",
            default_value=str(share_directory() / "config" / "bimanual.yaml"),
            description="parameter file with the robot contract (joints, controllers, cameras, limits) and "
            "the nodes' parameters; copy the default and adapt it",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=["true", "false"],
            description="configure and activate the node; otherwise do it with `ros2 lifecycle set`",
        ),
    ]


def value(context: LaunchContext, name: str) -> str:
    """The value of a launch argument."""
    return context.launch_configurations[name]


def config_file(context: LaunchContext) -> str:
    """Path of the parameter file. Raises FileNotFoundError, which ends the launch with its message."""
    path = os.path.abspath(os.path.expanduser(value(context, "config")))
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"config:={value(context, 'config')} is not a file. Expected a parameter file like "
            f"{share_directory() / 'config' / 'bimanual.yaml'}."
        )
    return path


def robot(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The robot that robot:=... asks for; nothing where it runs already."""
    if value(context, "robot") == "sim":
        return [_simulator(context)]
    if value(context, "robot") == "mock":
        # The simulator follows the same commands and shows them; the joint states are the controllers'.
        aside = [("joint_states", "sim/joint_states")]
        return [*ros2_control(_end_launch), _simulator(context, aside)]
    return []


def _simulator(context: LaunchContext, remappings: Sequence[tuple[str, str]] = ()) -> Node:
    """The simulator, with the Fast DDS profile that senders of images need."""
    return Node(
        package=PACKAGE,
        executable="sim_node",
        name="sim",
        namespace="/",
        output="screen",
        parameters=[config_file(context)],
        remappings=list(remappings),
        additional_env=_substitutable(profile_environment(os.environ)),
        sigterm_timeout=TIME_TO_STOP,
        on_exit=_end_launch("the simulated robot ended"),
    )


def lifecycle_node(
    context: LaunchContext, executable: str, name: str, parameters: Sequence[Any]
) -> list[LaunchDescriptionEntity]:
    """One managed node, configured and activated by events where autostart:=true asks for it.

    A transition that fails is reported with the command that tries again; everything else goes on running, so
    that the cause can be mended. The end of the node's process ends the launch.
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
    entities = [_report(node, name, "configure", "configuring", "unconfigured")]
    entities += [_report(node, name, "activate", "activating", "inactive")]
    entities += [_report(node, name, "configure", "errorprocessing", "unconfigured")]
    if value(context, "autostart") == "true":
        activate = _change(node, Transition.TRANSITION_ACTIVATE)
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
            _change(node, Transition.TRANSITION_CONFIGURE),
        ]
    else:
        entities.append(node)
    return entities


def _end_launch(reason: str) -> Callable[[Any, LaunchContext], list[LaunchDescriptionEntity]]:
    def on_exit(_: Any, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [] if context.is_shutdown else [Shutdown(reason=reason)]

    return on_exit


def _change(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))


def _report(node: LifecycleNode, name: str, wanted: str, start: str, goal: str) -> RegisterEventHandler:
    def tell(_: LaunchContext) -> None:
        get_logger(name).error(
            f"could not {wanted} and is {goal}; its own message above says why. After mending the cause: "
            f"ros2 lifecycle set /{name} {wanted}"
        )

    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state=start,
            goal_state=goal,
            entities=[OpaqueFunction(function=tell)],
        )
    )


def _substitutable(environment: Mapping[str, str]) -> dict[SomeSubstitutionsType, SomeSubstitutionsType]:
    return dict(environment)
