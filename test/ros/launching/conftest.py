# SPDX-License-Identifier: Apache-2.0
"""Runs launch files, by `ros2 launch` where that is installed."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from dit_policy_ros.core.share import share_directory

# What `ros2 launch` does, for a computer with launch_ros but without ros2launch.
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
file, *arguments = sys.argv[1:]
pairs = [argument.split(":=", 1) for argument in arguments]
service = LaunchService(noninteractive=True)
source = PythonLaunchDescriptionSource(file)
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=pairs)])
)
sys.exit(service.run())
"""


@pytest.fixture
def launch(start_process, tmp_path):
    """`launch(file, *arguments)`: starts a launch file, a shipped one by its name; returns the Child."""

    def begin(file: str | Path, *arguments: str):
        ros2 = shutil.which("ros2")
        command = (ros2, "launch") if ros2 else (sys.executable, "-c", LAUNCH)
        path = os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ["PATH"]]
        )  # nodes use env python3
        prefixes = os.pathsep.join(p for p in (sys.prefix, os.environ.get("AMENT_PREFIX_PATH")) if p)
        return start_process(
            "launch",
            *(*command, str(share_directory() / "launch" / file), *arguments),
            PATH=path,
            AMENT_PREFIX_PATH=prefixes,
            ROS_LOG_DIR=str(tmp_path / "ros_log"),
        )

    return begin
