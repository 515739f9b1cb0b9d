# SPDX-License-Identifier: Apache-2.0
"""Processes that a launch has started."""

from pathlib import Path
from typing import Any


def processes_of(child: Any) -> dict[int, list[str]]:
    """Command lines of all processes in the launch's session, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            command = (folder / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if session == child.process.pid and command != [""]:
            found[int(folder.name)] = command
    return found


def node_process(child: Any, name: str) -> Path | None:
    for pid, command in processes_of(child).items():
        if any(part.endswith(name) for part in command):
            return Path(f"/proc/{pid}")
    return None
