# SPDX-License-Identifier: Apache-2.0
"""A small file system of its own, which can really be full."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """path: where the file system is mounted."""

    path: Path

    @property
    def free(self) -> int:
        """Free space [byte]."""
        return shutil.disk_usage(self.path).free

    def resize(self, kilobytes: int) -> None:
        """Changes the size; what is stored stays."""
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", self.path], check=True)

    def fill(self, leave: int) -> None:
        """Fills the disk until at most this much space is free [byte]."""
        filler = self.path / "filler"
        with filler.open("ab") as file:
            while self.free > leave:
                file.write(bytes(4096))
                file.flush()

    def empty(self) -> None:
        """Frees what `fill` has taken."""
        (self.path / "filler").unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[SmallDisk]:
    """Mounts a tmpfs of this size in a new folder. Skips the test where nothing can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)
