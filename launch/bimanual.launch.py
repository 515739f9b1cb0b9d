# SPDX-License-Identifier: Apache-2.0
"""Runs a policy on a two-armed robot: ros2 launch dit_policy_ros bimanual.launch.py [robot:=external ...]."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.launch_description_entity import LaunchDescriptionEntity

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.ros.launching import (
    config_file,
    launch_description,
    lifecycle_node,
    node_name_argument,
    robot,
    value,
)

FIRST_TASK = "touch the red cube with the left arm"  # not for a real robot, which waits for its user


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    task = value(context, "task")
    overrides: dict[str, str | bool] = {
        name: text for name in ("checkpoint", "device") if (text := value(context, name))
    }
    if not task and value(context, "robot") != "external" and "checkpoint" not in overrides:
        task = FIRST_TASK
    if task:
        overrides["task"] = task
    if where := value(context, "inference"):
        overrides["inference"] = where
    if dry_run := value(context, "dry_run"):
        overrides["dry_run"] = dry_run == "true"
    # Later entries override earlier ones: the default, the config file, the launch arguments.
    parameters = [{"checkpoint": str(default_checkpoint())}, config_file(context), overrides]
    return [*robot(context), *lifecycle_node(context, "policy_node", parameters)]


def generate_launch_description() -> LaunchDescription:
    return launch_description(
        __file__,
        [
            node_name_argument("policy"),
            DeclareLaunchArgument(
                "checkpoint",
                default_value="",
                description="folder of a multi_task_dit checkpoint. Empty: the value in the config file, or "
                "the checkpoint that ships with the package",
            ),
            DeclareLaunchArgument(
                "device",
                default_value="",
                description="device for inference: auto, cpu, cuda or cuda:N. Empty: the value in the config "
                "file, or auto",
            ),
            DeclareLaunchArgument(
                "task",
                default_value="",
                description="first instruction. Empty: the value in the config file. Without one, an "
                f"external robot is not activated; sim and mock start with '{FIRST_TASK}'",
            ),
            DeclareLaunchArgument(
                "inference",
                default_value="",
                choices=["", "process", "external"],
                description="process: the policy node starts the inference node as a process of its own. "
                "external: inference.launch.py has been started, maybe on another computer. Empty: the value "
                "in the config file, or process",
            ),
            DeclareLaunchArgument(
                "dry_run",
                default_value="",
                choices=["", "true", "false"],
                description="true: shadow mode, plans are published on <node>/shadow/... and nothing moves. "
                "Empty: the value in the config file, or false",
            ),
        ],
        start,
    )
