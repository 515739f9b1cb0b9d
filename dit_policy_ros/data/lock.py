# SPDX-License-Identifier: Apache-2.0
"""Allows one writer per dataset: a file lock that the operating system releases when the process ends."""

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
            os.close(self._file)  # the previous holder removed the file after we opened it
        os.ftruncate(self._file, 0)  # a killed process leaves its name in the file
        os.write(self._file, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def release(self) -> None:
        """Removes the file, so that others can write. May be called again."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1
