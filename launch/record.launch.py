# SPDX-License-Identifier: Apache-2.0
"""Records demonstrations: ros2 launch dit_policy_ros record.launch.py dataset:=FOLDER [robot:=external].

Beside a running policy, `control_topic:=/policy/control` records its runs.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.launch_description_entity import LaunchDescriptionEntity

from dit_policy_ros.ros.launching import (
    config_file,
    launch_description,
    lifecycle_node,
    node_name_argument,
    robot,
    value,
)


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    dataset = value(context, "dataset")
    given = {"dataset": dataset, "control_topic": value(context, "control_topic")}
    chosen = {name: text for name, text in given.items() if text}
    parameters = [config_file(context), *([chosen] if chosen else [])]
    return [*robot(context), *lifecycle_node(context, "recorder_node", parameters)]


def generate_launch_description() -> LaunchDescription:
    return launch_description(
        __file__,
        [
            node_name_argument("recorder"),
            DeclareLaunchArgument(
                "dataset",
                default_value="",
                description="folder of the LeRobotDataset, which is created or extended. Empty: the value in "
                "the config file",
            ),
            DeclareLaunchArgument(
                "control_topic",
                default_value="",
                description="/policy/control records the runs of a policy, with who drove at each frame. "
                "Empty: the value in the config file",
            ),
        ],
        start,
    )
