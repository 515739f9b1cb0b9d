# SPDX-License-Identifier: Apache-2.0
"""Finds the robot's model files."""

from pathlib import Path

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.core.share import share_directory


def asset_path(relative: str) -> Path:
    """Returns the path of a file of this package's share folder, for example "mjcf/bimanual.xml".

    Raises:
        SimulationError: the installation does not have it.
    """
    try:
        path = share_directory() / relative
    except FileNotFoundError as error:
        raise SimulationError(str(error)) from error
    if not path.is_file():
        raise SimulationError(
            f"expected the file {path}, which does not exist; install the package again (pip install . or "
            "colcon build), or run from a complete checkout"
        )
    return path
