# SPDX-License-Identifier: Apache-2.0
"""One picture of what a policy does: a row of frames per task, from the start to the end of an episode."""

from collections.abc import Iterable, Sequence
from glob import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.atomic_files import write_atomically

FRAMES_PER_ROW = 7
FRAME_WIDTH = 160  # [pixel]
TITLE_HEIGHT = 20  # [pixel] above a row
_JPEG_QUALITY = 80
_SEED = "_seed_"  # in the name of a row's file, before the episode's seed


class FrameSheet:
    """Keeps frames of a successful episode of each task: of the lowest seed, whichever ends first.

    Args:
        folder: where the rows are kept, so that a resumed evaluation still has them.
        delete_old: delete the rows in the folder: they are of another evaluation.
    """

    def __init__(self, folder: Path, delete_old: bool) -> None:
        self._folder = folder
        for old in folder.glob("*.png") if delete_old else ():
            old.unlink()

    def add(self, instruction: str, seed: int, images: Sequence[NDArray[np.uint8]]) -> None:
        """Add a successful episode, uint8 (H, W, 3) RGB each."""
        if not images or not self._is_wanted(instruction, seed):
            return
        chosen = [images[k] for k in np.linspace(0, len(images) - 1, FRAMES_PER_ROW).round().astype(int)]
        size = FRAME_WIDTH, round(FRAME_WIDTH * chosen[0].shape[0] / chosen[0].shape[1])
        small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in chosen]
        self._keep(
            instruction, seed, cv2.imencode(".png", np.concatenate(small, axis=1)[..., ::-1])[1].tobytes()
        )

    def row_of(self, instruction: str) -> tuple[int, bytes] | None:
        """The seed and the row of a task, as PNG; None without a success."""
        kept = self._kept(instruction)
        return (kept[0], kept[1].read_bytes()) if kept else None

    def adopt(self, instruction: str, seed: int, row: bytes) -> None:
        """Add a row that a worker made."""
        if self._is_wanted(instruction, seed):
            self._keep(instruction, seed, row)

    def write(self, instructions: Iterable[str], path: Path) -> None:
        """Write the rows of these tasks below one another as a JPEG; without any row there is no file."""
        path.unlink(missing_ok=True)  # of an earlier evaluation
        parts = []
        for instruction in instructions:
            kept = self._kept(instruction)
            row = cv2.imread(str(kept[1])) if kept else None
            if row is not None:
                title = np.full((TITLE_HEIGHT, row.shape[1], 3), 255, np.uint8)
                font, black = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)
                cv2.putText(title, instruction, (4, 15), font, 0.5, black, 1, cv2.LINE_AA)
                parts += [title, row]
        if parts:
            cv2.imwrite(str(path), np.concatenate(parts), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])

    def _is_wanted(self, instruction: str, seed: int) -> bool:
        kept = self._kept(instruction)
        return kept is None or seed < kept[0]

    def _keep(self, instruction: str, seed: int, row: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        former = self._kept(instruction)
        write_atomically(self._folder / f"{_file_name(instruction)}{_SEED}{seed}.png", row)
        if former:
            former[1].unlink()

    def _kept(self, instruction: str) -> tuple[int, Path] | None:
        """Seed and file of the task's row. An interruption may have left the row before as well."""
        files = self._folder.glob(f"{escape(_file_name(instruction))}{_SEED}*.png")
        return min(((int(file.stem.rpartition(_SEED)[2]), file) for file in files), default=None)


def _file_name(instruction: str) -> str:
    return instruction.replace(" ", "_")
