# SPDX-License-Identifier: Apache-2.0
"""Finds the package's own files (config, launch, urdf, mjcf, checkpoints)."""

import re
from pathlib import Path

PACKAGE = "dit_policy_ros"


def share_directory(module_file: str | Path = __file__) -> Path:
    """The folder that holds config/, launch/, mjcf/ and checkpoints/.

    In a source checkout this is the checkout itself. After an installation (pip, colcon, symlinked or merged)
    it is the share folder of the install prefix. It is found by walking up from this module, so no ROS index
    is needed.

    Raises:
        FileNotFoundError: the package was copied without its data.
    """
    for folder in Path(module_file).absolute().parents:
        for candidate in (folder, folder / "share" / PACKAGE):
            if (candidate / "package.xml").is_file() and (candidate / "config").is_dir():
                return candidate
    raise FileNotFoundError(
        f"cannot find the data of {PACKAGE} (config/, launch/, mjcf/) in any folder above {module_file}; "
        "install the package with `pip install .` or `colcon build`, or run it from a checkout"
    )


def ready_robots() -> dict[str, Path]:
    """The parameter files of the robots in config/robots/, by name."""
    files = sorted((share_directory() / "config" / "robots").glob("*.yaml"))
    return {file.stem: file for file in files if not file.stem.endswith("_controllers")}


def default_checkpoint() -> Path:
    """The checkpoint that ships with the package; it knows all tasks of the simulated scene."""
    return share_directory() / "checkpoints" / "cube_tasks"


def package_version() -> str:
    """The version in package.xml."""
    found = re.search(r"<version>(.+?)</version>", (share_directory() / "package.xml").read_text())
    return found.group(1) if found else "unknown"
