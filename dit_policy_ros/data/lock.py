# SPDX-License-Identifier: Apache-2.0
"""Allows one writer per dataset: a file lock that the operating system releases when the process ends."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError


class DatasetLock:
    """Acquired on construction and held until `release`.

    Raises:
        DatasetError: another process holds it; the message names that process.
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path, dataset: Path) -> None:
        self._path = path
        self._file = -1
        name = f"process {os.getpid()} on {socket.gethostname()}"
        while self._file < 0:
            with contextlib.ExitStack() as stack:
                file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                stack.callback(os.close, file)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    holder = os.read(file, 200).decode(errors="replace") or "another process"
                    if holder == name:
                        holder = f"{name} (this process has not finished an earlier recording)"
                    raise DatasetError(
                        f"dataset {dataset} is being written by {holder}; only one recorder can write to it"
                    ) from error
                if not (path.exists() and os.path.samestat(os.fstat(file), path.stat())):
                    continue  # the previous holder removed the file after we opened it
                os.ftruncate(file, 0)  # a killed process leaves its name in the file
                os.write(file, name.encode())
                stack.pop_all()
                self._file = file

    def release(self) -> None:
        """Removes the file, so that others can write. May be called again."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1
