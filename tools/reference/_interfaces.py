# SPDX-License-Identifier: Apache-2.0
"""The messages and services, from their files."""

from pathlib import Path

from tools.reference._markdown import block

NAMES = {"msg": "Messages", "srv": "Services"}


def interfaces_page(root: Path) -> str:
    parts = [
        "# Messages and services\n",
        "The files themselves; in a workspace `ros2 interface show dit_policy_ros/msg/PolicyStatus` prints "
        "one. Which topics and services use them: "
        "[Nodes and their interfaces](overview.md#nodes-and-their-interfaces).\n",
    ]
    for folder, title in NAMES.items():
        parts.append(f"## {title}\n")
        for path in sorted((root / folder).iterdir()):
            text = path.read_text().removeprefix("# SPDX-License-Identifier: Apache-2.0\n")
            parts += [f"### {path.stem}\n", f"`dit_policy_ros/{folder}/{path.stem}`\n", block(text.strip())]
    return "\n".join(parts)
