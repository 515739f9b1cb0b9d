# SPDX-License-Identifier: Apache-2.0
"""Whether a folder is the same one on all machines that work on it."""

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.evaluation.workers._workers import WorkersError

_FILE = "shared_folder_check.txt"


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder, and a word that only it contains."""

    path: Path
    word: str

    @classmethod
    def mark(cls, path: Path) -> "SharedFolder":
        """Write a word into a folder that exists."""
        word = secrets.token_hex(8)
        write_atomically(path / _FILE, word)
        return cls(path, word)

    def check(self) -> None:
        """On any machine: raises WorkersError if its folder of this name is another one."""
        try:
            found = (self.path / _FILE).read_text()
        except OSError:
            found = ""
        if found != self.word:
            raise WorkersError(
                f"machine {socket.gethostname()} does not see the folder {self.path} of the machine that "
                "started the work. With --ray, bags and --dataset must be on storage that all machines "
                "share, under the same path"
            )
