# SPDX-License-Identifier: Apache-2.0
"""Records demonstrations: ros2 launch dit_policy_ros record.launch.py dataset:=FOLDER [robot:=external]."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity

from dit_policy_ros.ros.launching import config_file, lifecycle_node, robot, robot_arguments, value


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    dataset = value(context, "dataset")
    parameters = [config_file(context), *([{"dataset": dataset}] if dataset else [])]
    return [*robot(context), *lifecycle_node(context, "recorder_node", "recorder", parameters)]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *robot_arguments(),
            DeclareLaunchArgument(
                "dataset",
                default_value="",
                description="folder of the LeRobotDataset, which is created or extended. Empty: the value in "
                "the config file",
            ),
            OpaqueFunction(function=start),
        ]
    )
