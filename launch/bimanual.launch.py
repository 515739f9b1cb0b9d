# SPDX-License-Identifier: Apache-2.0
"""A policy on a two-armed robot: ros2 launch dit_policy_ros bimanual.launch.py [robot:=external ...]."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.ros.launching import config_file, lifecycle_node, robot, robot_arguments, value

FIRST_TASK = "touch the red cube with the left arm"  # only without hardware: a real robot waits for its user


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    task = value(context, "task")
    given: dict[str, str | bool] = {
        name: text for name in ("checkpoint", "device") if (text := value(context, name))
    }
    if not task and value(context, "robot") != "external" and "checkpoint" not in given:
        task = FIRST_TASK
    if task:
        given["task"] = task
    if dry_run := value(context, "dry_run"):
        given["dry_run"] = dry_run == "true"
    # The config file may name another checkpoint than the default, an argument is stronger than both.
    parameters = [{"checkpoint": str(default_checkpoint())}, config_file(context), given]
    return [*robot(context), *lifecycle_node(context, "policy_node", "policy", parameters)]


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
                f"real robot is not activated, and the others start with '{FIRST_TASK}'",
            ),
            DeclareLaunchArgument(
                "dry_run",
                default_value="",
                choices=["", "true", "false"],
                description="true: shadow mode, plans go to /policy/shadow/... and nothing moves; empty: "
                "what the config file says, else false",
            ),
            OpaqueFunction(function=start),
        ]
    )
