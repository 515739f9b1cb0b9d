# SPDX-License-Identifier: Apache-2.0
"""An episode on its way from its journal into a dataset's files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_policy_ros.data.recording._journal_format import JournalContent


@dataclass(frozen=True, slots=True)
class FileNumber:
    """Number of a file in LeRobot's format: `chunk-CCC/file-FFF`."""

    chunk: int
    file: int

    def next(self, chunk_size: int) -> "FileNumber":
        """The number after this one; `chunk_size` files fit into a chunk."""
        if self.file + 1 < chunk_size:
            return FileNumber(self.chunk, self.file + 1)
        return FileNumber(self.chunk + 1, 0)


@dataclass(frozen=True, slots=True)
class StagedEpisode:
    """What the functions that stage an episode's files share.

    root: the dataset, read only. journal: the episode's folder. stage: the staging folder, laid out as the
    dataset. content: of the journal. info: the new content of info.json. row: the episode's row of LeRobot's
    metadata. Both are filled step by step. previous: the row of the dataset's last episode, if any.
    """

    root: Path
    journal: Path
    stage: Path
    content: JournalContent
    info: dict[str, Any]
    row: dict[str, Any]
    previous: Mapping[str, Any] | None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.content.tasks)

    def new_file(self, pattern: str, prefix: str, **names: str) -> Path:
        """Where the episode's next file goes, with its folder created; the row gets its number.

        Args:
            pattern: LeRobot's path pattern.
            prefix: of the file's number in the row, as `data` in `data/file_index`.
            names: other values in the pattern.
        """
        number = FileNumber(0, 0)
        if self.previous is not None:
            last = FileNumber(self.previous[f"{prefix}/chunk_index"], self.previous[f"{prefix}/file_index"])
            number = last.next(self.info["chunks_size"])
        self.row[f"{prefix}/chunk_index"], self.row[f"{prefix}/file_index"] = number.chunk, number.file
        path = self.stage / pattern.format(chunk_index=number.chunk, file_index=number.file, **names)
        path.parent.mkdir(parents=True)
        return path
