# SPDX-License-Identifier: Apache-2.0
"""One writer per dataset or file: locks that the operating system releases when a process ends."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError


def open_locked(path: Path, wait: bool) -> int | None:
    """Opens a lock file, creates it if needed, and locks it for this process alone.

    Returns:
        The open file; to release it, remove the file and close it. None if another process holds it and
        `wait` is false.

    Raises:
        OSError: the file cannot be created.
    """
    while True:
        with contextlib.ExitStack() as stack:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                stack.pop_all()
                return file
            # the previous holder removed the file after we opened it


class DatasetLock:
    """Acquired on construction and held until `release`.

    Raises:
        DatasetError: another process holds it; the message names that process.
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path, dataset: Path) -> None:
        self._path = path
        name = f"process {os.getpid()} on {socket.gethostname()}"
        file = open_locked(path, wait=False)
        if file is None:
            holder = ""
            with contextlib.suppress(OSError):  # it has just ended
                holder = path.read_bytes()[:200].decode(errors="replace")
            if holder == name:
                holder = f"{name} (this process has not finished an earlier recording)"
            raise DatasetError(
                f"dataset {dataset} is being written by {holder or 'another process'}; only one recorder can "
                "write to it"
            )
        try:
            os.ftruncate(file, 0)  # a killed process leaves its name in the file
            os.write(file, name.encode())
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def release(self) -> None:
        """Removes the file, so that others can write. May be called again."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1
