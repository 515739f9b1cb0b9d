# SPDX-License-Identifier: Apache-2.0
"""Starts the real ros2_control controllers on mock hardware."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from dit_policy_ros.core.share import share_directory

_NEEDED = {
    "robot_state_publisher": "robot-state-publisher",
    "controller_manager": "ros2-control",
    "joint_trajectory_controller": "ros2-controllers",
}  # package -> suffix of its Debian package
SPAWNER_TIMEOUT = "60"  # [s] to wait for the controller manager; starting takes long on a busy machine


def _controllers_file() -> Path:
    return share_directory() / "config" / "bimanual_controllers.yaml"


def _controllers() -> list[str]:
    """All that the controller manager loads, the joint_state_broadcaster, too."""
    return [name for name in yaml.safe_load(_controllers_file().read_text()) if name != "controller_manager"]


def simulator_remappings() -> list[tuple[str, str]]:
    """Remappings of a simulator that follows the same commands for its cameras.

    What the joints and the controllers do, only the real controllers may say: states of a simulated
    controller would hide that the real one is not active.
    """
    states = [f"{name}/controller_state" for name in _controllers()]
    return [(topic, f"sim/{topic}") for topic in ("joint_states", *states)]


def ros2_control(context: LaunchContext, on_exit: Callable[[str], Any]) -> list[LaunchDescriptionEntity]:
    """The robot_state_publisher, a controller manager on mock_components/GenericSystem, and all controllers.

    Args:
        context: has the namespace of the robot.
        on_exit: creates the exit handler of a required process from the reason to log.

    Raises:
        RuntimeError: a required package is not installed. This ends the launch with its message.
    """
    _require_packages()
    urdf = share_directory() / "urdf" / "bimanual.urdf"
    controllers, names = _controllers_file(), _controllers()
    namespace = context.launch_configurations.get("ros_namespace", "").strip("/")
    if namespace:
        controllers = _in_namespace(controllers, namespace)
    description = {"robot_description": ParameterValue(urdf.read_text(), value_type=str)}
    return [
        Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            output="screen",
            parameters=[description],
            on_exit=on_exit("robot_state_publisher ended"),
        ),
        Node(
            package="controller_manager",
            executable="ros2_control_node",
            output="screen",
            parameters=[str(controllers)],
            on_exit=on_exit("the controller manager ended"),
        ),
        Node(
            package="controller_manager",
            executable="spawner",
            output="screen",
            arguments=[
                *names,
                *("--param-file", str(controllers)),
                *("--controller-manager-timeout", SPAWNER_TIMEOUT),
            ],
        ),
    ]


def _in_namespace(file: Path, namespace: str) -> Path:
    """A copy of a parameter file for nodes in a namespace: a section is for one full name of a node."""
    sections = yaml.safe_load(file.read_text())
    with tempfile.NamedTemporaryFile("w", prefix="controllers_", suffix=".yaml", delete=False) as copy:
        yaml.safe_dump({f"/{namespace}/{name}": section for name, section in sections.items()}, copy)
    return Path(copy.name)


def _require_packages() -> None:
    missing = []
    for package in _NEEDED:
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        debian = " ".join(f"ros-$ROS_DISTRO-{_NEEDED[package]}" for package in missing)
        raise RuntimeError(
            f"robot:=mock needs the packages {', '.join(missing)}, which are not installed. Install them "
            f"with: sudo apt install {debian}. Or use robot:=sim, which needs no ros2_control."
        )
