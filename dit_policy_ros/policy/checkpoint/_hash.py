# SPDX-License-Identifier: Apache-2.0
"""A checkpoint's identity: a hash of everything that decides what it predicts."""

import hashlib
from pathlib import Path

from dit_policy_ros.policy.checkpoint._reader import find_checkpoint

_FILES = ("*.json", "*.safetensors", "*.txt")
_BLOCK = 1 << 22  # [bytes] read at once


def checkpoint_hash(path: str | Path) -> str:
    """Hash of a checkpoint's files and their names, 32 hexadecimal digits. Raises CheckpointError."""
    folder = find_checkpoint(path)
    total = hashlib.blake2b(digest_size=16)
    below = {file for pattern in _FILES for file in (*folder.glob(pattern), *folder.glob(f"*/{pattern}"))}
    for file in sorted(below):
        total.update(str(file.relative_to(folder)).encode() + b"\0")
        with file.open("rb") as content:
            while block := content.read(_BLOCK):
                total.update(block)
    return total.hexdigest()
