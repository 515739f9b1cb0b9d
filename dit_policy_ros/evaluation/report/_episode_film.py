# SPDX-License-Identifier: Apache-2.0
"""Films the episodes of an evaluation: keeps failures as videos, and a row of frames of a success."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.evaluation.report._frame_sheet import FrameSheet
from dit_policy_ros.evaluation.report._video import VIDEO_FPS, CaptionedVideo
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks import Act, Outcome, Task

FILM_CAMERA = "top"
_MAX_CAPTION = 80  # [characters]


class EpisodeFilm:
    """Films every episode; keeps the first failures of each task as MP4, and frames of a success.

    Args:
        folder: for the videos.
        max_videos: per task; 0 films nothing.
        sheet: gets the frames of successful episodes.
        filmed_before: task and seed of the episodes that an interrupted run of this evaluation has filmed.

    Attributes:
        paths: the videos of this evaluation.
    """

    def __init__(
        self,
        folder: Path,
        max_videos: int,
        sheet: FrameSheet,
        filmed_before: Iterable[tuple[Task, int]] = (),
    ) -> None:
        self._folder, self._max_videos, self._sheet = folder, max_videos, sheet
        self._frames: list[tuple[int, NDArray[np.uint8]]] = []  # stamp [ns], uint8 (H, W, 3) RGB
        self._since_ns = 0  # stamp of the episode's first moment [ns]
        self._videos: Counter[str] = Counter()  # by instruction
        self.paths: list[Path] = []
        for task, seed in filmed_before:
            if (path := self._path(task.instruction, seed)).is_file():
                self._videos[task.instruction] += 1
                self.paths.append(path)

    @property
    def is_filming(self) -> bool:
        """Whether anything is filmed at all."""
        return self._max_videos > 0

    def begin(self, since_ns: int = 0) -> None:
        """An episode begins. Frames with earlier stamps [ns] are of the scene before it."""
        self._frames, self._since_ns = [], since_ns

    def add(self, stamp_ns: int, image: NDArray[np.uint8]) -> None:
        """Add a frame: its stamp [ns] and uint8 (H, W, 3) RGB. Frames above the video's rate are dropped."""
        if stamp_ns < self._since_ns:
            return
        if self.is_filming and (not self._frames or stamp_ns - self._frames[-1][0] >= 0.9e9 / VIDEO_FPS):
            self._frames.append((stamp_ns, image))

    def end(self, outcome: Outcome, seed: int) -> None:
        """An episode has ended; its outcome decides what is kept of it."""
        task = outcome.task.instruction
        if outcome.success:
            self._sheet.add(task, seed, [image for _, image in self._frames])
        if outcome.success or not self._frames or self._videos[task] >= self._max_videos:
            return
        self._videos[task] += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(task, seed)
        video, first_ns = CaptionedVideo(path), self._frames[0][0]
        instead = "; ".join(outcome.instead) or "not done"
        for stamp_ns, image in self._frames:
            line = f"{(stamp_ns - first_ns) * 1e-9:.1f} s, in the end: {instead}"
            video.add(stamp_ns, image, (task, line[:_MAX_CAPTION]), is_done=False)
        video.close()
        self.paths.append(path)

    def video_of(self, task: Task, seed: int) -> Path | None:
        """The video of an episode; None if none was kept."""
        path = self._path(task.instruction, seed)
        return path if path in self.paths else None

    def adopt(self, task: Task, seed: int, video: bytes) -> None:
        """Keep a video that a worker made, unless there are enough of the task."""
        if self._videos[task.instruction] >= self._max_videos:
            return
        self._videos[task.instruction] += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(task.instruction, seed)
        write_atomically(path, video)
        self.paths.append(path)

    def filming(self, act: Act) -> Act:
        """Wrap an actor of a lock-step episode, so that each of its periods is filmed."""

        def filmed(sim: BimanualSim) -> np.ndarray:
            self.add(sim.time_ns, sim.render(FILM_CAMERA)[FILM_CAMERA])
            return act(sim)

        return filmed if self.is_filming else act

    def _path(self, instruction: str, seed: int) -> Path:
        return self._folder / f"{instruction.replace(' ', '_')}_seed_{seed}.mp4"
