# SPDX-License-Identifier: Apache-2.0
"""LeRobot's streaming video encoder without its two habits that would spoil a dataset.

It drops frames when the encoder is slower than the camera, which shifts the rest of the video against the
states and actions; here the caller waits. And it cancels an episode only after encoding what was queued.
"""

import contextlib
import queue
import shutil

import numpy as np
from lerobot.datasets.video_utils import StreamingVideoEncoder

_POLL = 0.1  # [s] how often a caller that waits for room looks whether the encoder still lives


class LosslessVideoEncoder(StreamingVideoEncoder):
    """Encodes in one thread per camera; takes every frame or raises."""

    def feed_frame(self, video_key: str, image: np.ndarray) -> None:
        """Queues a copy of a frame, uint8 (h, w, 3); waits while the queue is full.

        Raises RuntimeError if the encoder has failed.
        """
        copy = image.copy()  # (h, w, 3)
        while self._episode_active and self._threads[video_key].is_alive():
            with contextlib.suppress(queue.Full):
                self._frame_queues[video_key].put(copy, timeout=_POLL)
                return
        super().feed_frame(video_key, image)  # raises with what the encoder said

    def cancel_episode(self) -> None:
        """Ends the encoding at once and removes its temporary files, begun or not."""
        folders = [path.parent for path in self._video_paths.values()]
        for frames in self._frame_queues.values():
            with contextlib.suppress(queue.Empty):
                while True:
                    frames.get_nowait()
            frames.put(None)
        super().cancel_episode()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
