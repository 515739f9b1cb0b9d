# SPDX-License-Identifier: Apache-2.0
"""Checks one installation of the package: `python tools/check_install.py PREFIX`.

Run it outside the checkout, with the environment of a user of that installation (sourced or activated).
"""

import importlib
import importlib.util
import os
import sys
from importlib import metadata
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

NAME = "dit_policy_ros"
SOURCE = Path(__file__).resolve().parents[1]
MODULES = [
    *(f"{NAME}.{module}" for module in ("msg", "srv", "core.share")),
    *(f"{NAME}.ros.{node}.{node}_node" for node in ("policy", "recorder", "sim")),
]
PLUGINS = [f"lerobot_{kind}_dit_policy_ros" for kind in ("policy", "robot", "teleoperator")]


def check(prefix: Path) -> list[str]:
    """All faults of the installation under `prefix`."""
    faults = []
    for name in MODULES:
        origin = Path(importlib.import_module(name).__file__ or "")
        if prefix not in origin.parents:
            faults.append(f"{name} was imported from {origin}, not from {prefix}")

    from dit_policy_ros.core.share import share_directory
    from dit_policy_ros.srv import SetTask

    type(SetTask.Request).__import_type_support__()  # loads the compiled part, as rclpy does
    if SetTask.Request._TYPE_SUPPORT is None:
        faults.append("the type support of SetTask does not load")

    share = Path(get_package_share_directory(NAME))
    if share != prefix / "share" / NAME:
        faults.append(f"the ament index has the package at {share}, expected {prefix / 'share' / NAME}")
    if share_directory().resolve() != share.resolve():
        faults.append(f"share_directory() returns {share_directory()}, the ament index {share}")
    for folder in ("config", "launch", "urdf", "mjcf", "checkpoints"):
        expected = {p.relative_to(SOURCE) for p in (SOURCE / folder).rglob("*") if p.is_file()}
        missing = [str(p) for p in expected if "__pycache__" not in p.parts and not (share / p).is_file()]
        faults += [f"share/{NAME}/{path} is missing" for path in missing]

    plugins = {each.metadata["Name"] for each in metadata.distributions()}
    for (
        plugin
    ) in PLUGINS:  # LeRobot looks for installed distributions, and imports the modules of their names
        if plugin not in plugins:
            faults.append(f"{plugin} is no distribution of this installation, so LeRobot does not find it")
        origin = Path(getattr(importlib.util.find_spec(plugin), "origin", None) or "")
        if prefix not in origin.parents:
            faults.append(f"{plugin} would be imported from {origin}, not from {prefix}")

    for script in (SOURCE / "scripts").iterdir():
        installed = prefix / "lib" / NAME / script.name
        if not os.access(installed, os.X_OK):
            faults.append(f"{installed} is missing or not executable")
    return faults


if __name__ == "__main__":
    problems = check(Path(sys.argv[1]).resolve())
    print(*problems, sep="\n", file=sys.stderr)
    sys.exit(bool(problems))
