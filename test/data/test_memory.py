# SPDX-License-Identifier: Apache-2.0
"""Free memory is that of the container, under cgroup v1 and v2, not that of the machine around it."""

from pathlib import Path

import pytest

from dit_policy_ros.data.memory import available_memory

GB = 10**9
MEMINFO = "MemTotal: 64000000 kB\nMemFree: 1000 kB\nMemAvailable: 50000000 kB\n"
MACHINE = 50_000_000 * 1024


def system(folder: Path, cgroup: str, mounts: str, files: dict[str, str]) -> Path:
    """A folder with the files of /proc and /sys that tell a process its limits."""
    everything = {"proc/meminfo": MEMINFO, "proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts}
    for name, content in (
        everything | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    ).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
# Docker without a cgroup namespace: the mount shows the container's group, the path is the host's.
V1_DOCKER = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
NO_LIMIT = "9223372036854771712\n"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "expected"),
    [
        ("0::/\n", V2, {}, MACHINE),
        ("0::/\n", V2, {"memory.max": "max", "memory.current": "5"}, MACHINE),
        ("0::/\n", V2, {"memory.max": str(4 * GB), "memory.current": str(GB)}, 3 * GB),
        (
            "0::/a/b\n",
            V2,
            {
                "a/b/memory.max": "max",
                "a/b/memory.current": str(GB),
                "a/memory.max": str(2 * GB),
                "a/memory.current": str(GB),
                "a/memory.stat": f"anon 1\nfile {GB}\ninactive_file {GB // 4}\nactive_file {GB // 4}\n",
            },
            3 * GB // 2,
        ),
        ("0::/\n", V2, {"memory.max": "max", "memory.high": str(GB), "memory.current": "0"}, GB),
        ("0::/\n", V2, {"memory.max": str(GB), "memory.current": str(2 * GB)}, 0),
        (
            "4:memory:/job\n0::/\n",
            V1,
            {
                "memory/memory.limit_in_bytes": NO_LIMIT,
                "memory/memory.usage_in_bytes": str(40 * GB),
                "memory/job/memory.limit_in_bytes": str(8 * GB),
                "memory/job/memory.usage_in_bytes": str(6 * GB),
                "memory/job/memory.stat": f"inactive_file 7\ntotal_inactive_file {GB}\n",
            },
            3 * GB,
        ),
        (
            "4:memory:/docker/abc\n",
            V1_DOCKER,
            {"memory/memory.limit_in_bytes": str(GB), "memory/memory.usage_in_bytes": "0"},
            GB,
        ),
        ("4:cpu:/job\n", V1, {"memory/memory.limit_in_bytes": "7"}, MACHINE),
    ],
    ids=[
        "v2 without files",
        "v2 without a limit",
        "v2",
        "v2 limited above, with file cache",
        "v2 throttled",
        "v2 beyond its limit",
        "v1",
        "v1 in docker",
        "no memory group",
    ],
)
def test_the_smallest_limit_counts(
    tmp_path: Path, cgroup: str, mounts: str, files: dict[str, str], expected: int
) -> None:
    assert available_memory(system(tmp_path, cgroup, mounts, files)) == expected


def test_this_machine() -> None:
    assert 0 < available_memory() < 10**15
