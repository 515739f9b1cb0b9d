# SPDX-License-Identifier: Apache-2.0
"""Infers for a policy node elsewhere: ros2 launch dit_policy_ros inference.launch.py [checkpoint:=X].

Start bimanual.launch.py with inference:=external, in the same namespace and ROS domain. The policy node
configures and activates this node.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.launch_description_entity import LaunchDescriptionEntity

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.ros.launching import (
    config_file,
    launch_description,
    node_action,
    node_name_argument,
    value,
)


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    overrides: dict[str, str | bool] = {
        name: text for name in ("checkpoint", "device") if (text := value(context, name))
    }
    parameters = [{"checkpoint": str(default_checkpoint())}, config_file(context), overrides]
    return [node_action(context, "inference_node", parameters)]


def generate_launch_description() -> LaunchDescription:
    return launch_description(
        __file__,
        [
            node_name_argument("inference"),
            DeclareLaunchArgument(
                "checkpoint",
                default_value="",
                description="folder of a checkpoint on this computer. Empty: the value in the config file, "
                "or the checkpoint that ships with the package",
            ),
            DeclareLaunchArgument(
                "device",
                default_value="",
                description="device for inference: auto, cpu, cuda or cuda:N. Empty: the value in the config "
                "file, or auto",
            ),
        ],
        start,
        robot=False,
    )
