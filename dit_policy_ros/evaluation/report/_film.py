# SPDX-License-Identifier: Apache-2.0
"""Films the episodes of an evaluation: what went wrong as videos, what went well as a row of pictures."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.evaluation.report._sheet import TaskSheet
from dit_policy_ros.evaluation.report._video import FPS, DemoVideo
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks import Act, Outcome, Task

CAMERA = "top"


class EpisodeFilm:
    """Films every episode and keeps the first few failures of each task as MP4, and pictures of a success.

    Args:
        folder: where they go.
        most: videos per task; 0 films nothing.
        sheet: gets the pictures of episodes that succeeded.
        before: tasks and seeds of episodes of the same evaluation that were filmed earlier.
    """

    def __init__(
        self, folder: Path, most: int, sheet: TaskSheet, before: Iterable[tuple[Task, int]] = ()
    ) -> None:
        self._folder, self._most, self._sheet = folder, most, sheet
        self._frames: list[tuple[int, NDArray[np.uint8]]] = []
        self._kept: Counter[str] = Counter()
        self.paths: list[Path] = []
        for task, seed in before:
            if (path := self._path(task.instruction, seed)).is_file():
                self._kept[task.instruction] += 1
                self.paths.append(path)

    @property
    def wanted(self) -> bool:
        """Whether anything is filmed at all."""
        return self._most > 0

    def begin(self) -> None:
        """A new episode."""
        self._frames = []

    def add(self, stamp_ns: int, image: NDArray[np.uint8]) -> None:
        """One image uint8 (H, W, 3) RGB and its stamp [ns]; what is more than the video's rate is dropped."""
        if self.wanted and (not self._frames or stamp_ns - self._frames[-1][0] >= 0.9e9 / FPS):
            self._frames.append((stamp_ns, image))

    def end(self, outcome: Outcome, seed: int) -> None:
        """The episode's outcome decides whether it is kept."""
        task = outcome.task.instruction
        if outcome.success:
            self._sheet.add(task, [image for _, image in self._frames])
        if outcome.success or not self._frames or self._kept[task] >= self._most:
            return
        self._kept[task] += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(task, seed)
        video, first_ns = DemoVideo(path), self._frames[0][0]
        instead = "; ".join(outcome.instead) or "not done"
        for stamp_ns, image in self._frames:
            line = f"{(stamp_ns - first_ns) * 1e-9:.1f} s, in the end: {instead}"
            video.add(stamp_ns, image, (task, line[:80]), done=False)
        video.close()
        self.paths.append(path)

    def watching(self, act: Act) -> Act:
        """The same acts, filmed in lock-step."""

        def filmed(sim: BimanualSim) -> np.ndarray:
            self.add(sim.time_ns, sim.render(CAMERA)[CAMERA])
            return act(sim)

        return filmed if self.wanted else act

    def _path(self, instruction: str, seed: int) -> Path:
        return self._folder / f"{instruction.replace(' ', '_')}_seed_{seed}.mp4"
