# SPDX-License-Identifier: Apache-2.0
"""Checks one installation of the package: `python tools/check_install.py PREFIX`.

Run it with the environment that a user of that installation has (sourced, activated), away from the checkout.
"""

import importlib
import os
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

NAME = "dit_policy_ros"
SOURCE = Path(__file__).resolve().parents[1]
MODULES = [
    *(f"{NAME}.{module}" for module in ("msg", "srv", "core.share")),
    *(f"{NAME}.ros.{node}" for node in ("policy_node", "recorder_node", "sim_node")),
]


def check(prefix: Path) -> list[str]:
    """Everything that is wrong with the installation under `prefix`."""
    wrong = []
    for name in MODULES:
        origin = Path(importlib.import_module(name).__file__ or "")
        if prefix not in origin.parents:
            wrong.append(f"{name} was imported from {origin}, not from {prefix}")

    from dit_policy_ros.core.share import share_directory
    from dit_policy_ros.srv import SetTask

    type(SetTask.Request).__import_type_support__()  # loads the compiled half; rclpy would do it later
    if SetTask.Request._TYPE_SUPPORT is None:
        wrong.append("the type support of SetTask does not load")

    share = Path(get_package_share_directory(NAME))
    if share != prefix / "share" / NAME:
        wrong.append(f"the ament index says that the package is at {share}")
    if share_directory().resolve() != share.resolve():
        wrong.append(f"share_directory() says {share_directory()}, the ament index says {share}")
    for folder in ("config", "launch", "urdf", "mjcf", "checkpoints"):
        wanted = {p.relative_to(SOURCE) for p in (SOURCE / folder).rglob("*") if p.is_file()}
        missing = [str(p) for p in wanted if "__pycache__" not in p.parts and not (share / p).is_file()]
        wrong += [f"share/{NAME}/{path} is missing" for path in missing]

    for script in (SOURCE / "scripts").iterdir():
        installed = prefix / "lib" / NAME / script.name
        if not os.access(installed, os.X_OK):
            wrong.append(f"{installed} is missing or not executable")
    return wrong


if __name__ == "__main__":
    problems = check(Path(sys.argv[1]).resolve())
    print(*problems, sep="\n", file=sys.stderr)
    sys.exit(bool(problems))
