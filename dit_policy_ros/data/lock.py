# SPDX-License-Identifier: Apache-2.0
"""One writer per dataset: a file lock that ends with the process, however it ends."""

import fcntl
import os
import socket
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError


class DatasetLock:
    """Held from construction to `release`. Raises DatasetError that names the holder, or OSError."""

    def __init__(self, path: Path, dataset: Path) -> None:
        self._path = path
        while True:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(self._file, 200).decode(errors="replace") or "another process"
                os.close(self._file)
                raise DatasetError(
                    f"dataset {dataset} is being written by {holder}; only one recorder can write to it"
                ) from error
            if path.exists() and os.path.samestat(os.fstat(self._file), path.stat()):
                break
            os.close(self._file)  # whoever held it removed the file before we got it
        os.ftruncate(self._file, 0)  # a process that was killed leaves its name
        os.write(self._file, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def release(self) -> None:
        """Lets others write and removes the file. May be called again."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1
