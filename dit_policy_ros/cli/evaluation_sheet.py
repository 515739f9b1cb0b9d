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

    def write(self, instructions: Iterable[str], path: Path) -> bool:
        """Write the rows there are below one another; whether there was any."""
        parts = []
        for instruction in instructions:
            row = cv2.imread(str(self._path(instruction)))
            if row is not None:
                title = np.full((_TITLE, row.shape[1], 3), 255, np.uint8)
                cv2.putText(
                    title, instruction, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA
                )
                parts += [title, row]
        if parts:
            width = min(part.shape[1] for part in parts)
            whole = np.concatenate([part[:, :width] for part in parts])
            cv2.imwrite(str(path), whole, [cv2.IMWRITE_JPEG_QUALITY, 80])
        return bool(parts)

    def _path(self, instruction: str) -> Path:
        return self._folder / f"{instruction.replace(' ', '_')}.png"
