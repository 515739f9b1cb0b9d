# SPDX-License-Identifier: Apache-2.0
"""One picture of what a policy does: a row of frames for each task, from the beginning to the end."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FRAMES = 7  # in a row
WIDTH = 160  # [pixel] of a frame
_TITLE = 20  # [pixel] above a row


class TaskSheet:
    """Keeps, for each task, frames of the first episode that succeeded.

    Args:
        folder: where the rows are kept, so that a resumed evaluation goes on with them.
        anew: whether rows that are there already are of something else.
    """

    def __init__(self, folder: Path, anew: bool) -> None:
        self._folder = folder
        for old in folder.glob("*.png") if anew else ():
            old.unlink()

    def add(self, instruction: str, images: Sequence[NDArray[np.uint8]]) -> None:
        """An episode that succeeded, uint8 (H, W, 3) RGB each; later ones of a task are ignored."""
        path = self._path(instruction)
        if path.is_file() or not images:
            return
        chosen = [images[k] for k in np.linspace(0, len(images) - 1, FRAMES).round().astype(int)]
        size = WIDTH, round(WIDTH * chosen[0].shape[0] / chosen[0].shape[1])
        small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in chosen]
        self._folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.concatenate(small, axis=1)[..., ::-1])

    def write(self, instructions: Iterable[str], path: Path) -> None:
        """Write the rows that there are below one another; without any there is no picture."""
        path.unlink(missing_ok=True)  # of an earlier evaluation
        parts = []
        for instruction in instructions:
            if self._path(instruction).is_file():
                row = cv2.imread(str(self._path(instruction)))
                title = np.full((_TITLE, row.shape[1], 3), 255, np.uint8)
                font, black = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)
                cv2.putText(title, instruction, (4, 15), font, 0.5, black, 1, cv2.LINE_AA)
                parts += [title, row]
        if parts:
            cv2.imwrite(str(path), np.concatenate(parts), [cv2.IMWRITE_JPEG_QUALITY, 80])

    def _path(self, instruction: str) -> Path:
        return self._folder / f"{instruction.replace(' ', '_')}.png"
