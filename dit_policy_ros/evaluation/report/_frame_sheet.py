# SPDX-License-Identifier: Apache-2.0
"""One picture of what a policy does: a row of frames per task, from the start to the end of an episode."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FRAMES_PER_ROW = 7
FRAME_WIDTH = 160  # [pixel]
TITLE_HEIGHT = 20  # [pixel] above a row
_JPEG_QUALITY = 80


class FrameSheet:
    """Keeps frames of the first successful episode of each task.

    Args:
        folder: where the rows are kept, so that a resumed evaluation still has them.
        delete_old: delete the rows in the folder: they are of another evaluation.
    """

    def __init__(self, folder: Path, delete_old: bool) -> None:
        self._folder = folder
        for old in folder.glob("*.png") if delete_old else ():
            old.unlink()

    def add(self, instruction: str, images: Sequence[NDArray[np.uint8]]) -> None:
        """Add a successful episode, uint8 (H, W, 3) RGB each; ignored if the task already has a row."""
        path = self._path(instruction)
        if path.is_file() or not images:
            return
        chosen = [images[k] for k in np.linspace(0, len(images) - 1, FRAMES_PER_ROW).round().astype(int)]
        size = FRAME_WIDTH, round(FRAME_WIDTH * chosen[0].shape[0] / chosen[0].shape[1])
        small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in chosen]
        self._folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.concatenate(small, axis=1)[..., ::-1])

    def write(self, instructions: Iterable[str], path: Path) -> None:
        """Write the rows of these tasks below one another as a JPEG; without any row there is no file."""
        path.unlink(missing_ok=True)  # of an earlier evaluation
        parts = []
        for instruction in instructions:
            row = cv2.imread(str(self._path(instruction))) if self._path(instruction).is_file() else None
            if row is not None:
                title = np.full((TITLE_HEIGHT, row.shape[1], 3), 255, np.uint8)
                font, black = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)
                cv2.putText(title, instruction, (4, 15), font, 0.5, black, 1, cv2.LINE_AA)
                parts += [title, row]
        if parts:
            cv2.imwrite(str(path), np.concatenate(parts), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])

    def _path(self, instruction: str) -> Path:
        return self._folder / f"{instruction.replace(' ', '_')}.png"
