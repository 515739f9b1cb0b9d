# SPDX-License-Identifier: Apache-2.0
"""Video files on the Hugging Face hub, of which only the parts that are decoded are downloaded."""

from pathlib import Path
from typing import IO, Any

from dit_policy_ros.data.description import hub_snapshot

_BLOCK = 1 << 20  # byte that are downloaded at once; a group of pictures is usually smaller


def open_video(root: Path, file: Path) -> str | IO[bytes]:
    """What PyAV opens: the path of a dataset's file, or the file on the hub if it is not here.

    Args:
        root: of the dataset.
        file: relative to it.
    """
    path, source = root / file, hub_snapshot(root)
    if source is None or path.is_file():
        return str(path)
    from huggingface_hub import HfFileSystem

    # huggingface_hub asks again if the connection fails for a moment.
    files: Any = HfFileSystem(skip_instance_cache=True)  # not shared by processes
    return files.open(
        f"datasets/{source.repository}@{source.commit}/{file.as_posix()}", "rb", block_size=_BLOCK
    )
