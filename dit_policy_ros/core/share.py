# SPDX-License-Identifier: Apache-2.0
"""Where the package's own files (config, launch, urdf, mjcf, checkpoints) lie on this machine."""

import re
from pathlib import Path

PACKAGE = "dit_policy_ros"


def share_directory(module_file: str | Path = __file__) -> Path:
    """Folder that holds config/, launch/, mjcf/ and checkpoints/.

    In a source checkout that is the checkout itself. Installed (pip, colcon, symlinked or merged) it is the
    share folder of the install prefix, found by walking up from this module, so that no ROS index is needed.

    Raises:
        FileNotFoundError: the package was copied without its data.
    """
    for folder in Path(module_file).absolute().parents:
        for candidate in (folder, folder / "share" / PACKAGE):
            if (candidate / "package.xml").is_file() and (candidate / "config").is_dir():
                return candidate
    raise FileNotFoundError(
        f"the data of {PACKAGE} (config/, launch/, mjcf/) lie nowhere above {module_file}; "
        "install the package with `pip install .` or `colcon build`, or run it from a checkout"
    )


def default_checkpoint() -> Path:
    """The checkpoint that ships with the package: all tasks of the simulated scene."""
    return share_directory() / "checkpoints" / "cube_tasks"


def package_version() -> str:
    """Version of this package, as package.xml has it."""
    found = re.search(r"<version>(.+?)</version>", (share_directory() / "package.xml").read_text())
    return found.group(1) if found else "unknown"
