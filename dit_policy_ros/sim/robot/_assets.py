# SPDX-License-Identifier: Apache-2.0
"""Finds the robot's model files in a source checkout, a colcon install space or a pip environment."""

from pathlib import Path

from dit_policy_ros.core.errors import SimulationError


def asset_path(relative: str) -> Path:
    """Returns the path of a file of this package's share folder, for example "mjcf/bimanual.xml".

    It tries every folder above this module, as a checkout root and as an install prefix.
    Raises SimulationError when the file is in none of them.
    """
    here = Path(__file__)
    # With a symlink install this file is a link: search from the link and from its target.
    parents = dict.fromkeys([*here.parents, *here.resolve().parents])
    for folder in parents:
        for candidate in (folder / relative, folder / "share" / "dit_policy_ros" / relative):
            if candidate.is_file():
                return candidate
    raise SimulationError(
        f"expected the file '{relative}' in the package's share folder, found it nowhere above {here}; "
        "install the package again (pip install . or colcon build), or run from a complete checkout"
    )
