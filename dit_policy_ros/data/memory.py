# SPDX-License-Identifier: Apache-2.0
"""How much memory this process may still use: the machine's, or what the limits of its container leave."""

from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 1 << 60  # version 1 writes nearly 2^63 for no limit


def available_memory(system: Path = Path("/")) -> int:
    """Memory that can be allocated without swapping or being killed [byte]; the file cache counts as free.

    The limits of all control groups (cgroup v1 and v2) that the process is in count, because a container sees
    the whole machine's memory in ``/proc/meminfo`` and is killed beyond its own.

    Args:
        system: the folder that holds ``proc`` and ``sys``; another one in tests.
    """
    lines = (system / "proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return max(0, min([free, *_left_by_groups(system)]))


def _left_by_groups(system: Path) -> Iterator[int]:
    """What each control group with a limit leaves [byte]."""
    paths = _group_paths(system)
    for version, mount, root in _mounts(system):
        if version not in paths:
            continue
        folder = system / mount.lstrip("/")
        # A container may see its own group as the root of the mount, under the path of the host.
        inside = paths[version].removeprefix(root if root != "/" else "").strip("/")
        for group in [folder / inside, *(folder / inside).parents]:
            yield from _left(group, version)
            if group == folder:
                break


def _left(group: Path, version: int) -> Iterator[int]:
    """What one control group leaves [byte]; nothing if it has no limit."""
    names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
    limits = [limit for name in names if (limit := _number(group / name)) is not None]
    used = _number(group / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
    if used is None or not limits or min(limits) >= _UNLIMITED:
        return
    yield min(limits) - used + _file_cache(group, "" if version == 2 else "total_")


def _file_cache(group: Path, prefix: str) -> int:
    """File cache that is counted as used, and that the kernel gives back on demand [byte]."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    values = dict(line.split()[:2] for line in lines if len(line.split()) >= 2)
    return sum(int(values.get(prefix + name, 0)) for name in ("inactive_file", "active_file"))


def _group_paths(system: Path) -> dict[int, str]:
    """The path of this process's memory group, by version of cgroup."""
    paths = dict[int, str]()
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return paths
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            paths[2] = path
        elif "memory" in controllers.split(","):
            paths[1] = path
    return paths


def _mounts(system: Path) -> Iterator[tuple[int, str, str]]:
    """Version, mount point and root within the hierarchy of each mounted cgroup tree that counts memory."""
    try:
        lines = (system / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            yield 2, fields[4], fields[3]
        elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
            yield 1, fields[4], fields[3]


def _number(file: Path) -> int | None:
    """The number in a file; None if there is no such file, or it says ``max``."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
