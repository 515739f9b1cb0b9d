# SPDX-License-Identifier: Apache-2.0
"""A policy on a two-armed robot: ros2 launch dit_policy_ros bimanual.launch.py [robot:=external ...]."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.ros.launching import (
    config_file,
    lifecycle_node,
    robot_arguments,
    simulated_robot,
    value,
)

FIRST_TASK = (
    "touch the red cube with the left arm"  # only for the simulated robot: a real one waits for its user
)


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    task = value(context, "task")
    given = {name: text for name in ("checkpoint", "device") if (text := value(context, name))}
    if not task and value(context, "robot") == "sim" and "checkpoint" not in given:
        task = FIRST_TASK
    if task:
        given["task"] = task
    # The config file may name another checkpoint than the default, an argument is stronger than both.
    parameters = [{"checkpoint": str(default_checkpoint())}, config_file(context), given]
    return [*simulated_robot(context), *lifecycle_node(context, "policy_node", "policy", parameters)]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *robot_arguments(),
            DeclareLaunchArgument(
                "checkpoint",
                default_value="",
                description="folder of a multi_task_dit checkpoint; empty: what the config file says, else "
                "the one that ships with the package",
            ),
            DeclareLaunchArgument(
                "device",
                default_value="",
                description="where inference runs: auto, cpu, cuda or cuda:<n>; empty: what the config file "
                "says, else auto",
            ),
            DeclareLaunchArgument(
                "task",
                default_value="",
                description="instruction to begin with; empty: what the config file says. Without any, a "
                f"real robot is not activated, and the simulated one starts with '{FIRST_TASK}'",
            ),
            OpaqueFunction(function=start),
        ]
    )
