# SPDX-License-Identifier: Apache-2.0
"""Records demonstrations: ros2 launch dit_policy_ros record.launch.py dataset:=FOLDER [robot:=external]."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.launch_description_entity import LaunchDescriptionEntity

from dit_policy_ros.ros.launching import (
    config_file,
    in_namespace,
    lifecycle_node,
    node_name_argument,
    robot,
    robot_arguments,
    value,
)


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    dataset = value(context, "dataset")
    parameters = [config_file(context), *([{"dataset": dataset}] if dataset else [])]
    return [*robot(context), *lifecycle_node(context, "recorder_node", parameters)]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *robot_arguments(),
            node_name_argument("recorder"),
            DeclareLaunchArgument(
                "dataset",
                default_value="",
                description="folder of the LeRobotDataset, which is created or extended. Empty: the value in "
                "the config file",
            ),
            in_namespace(start),
        ]
    )
