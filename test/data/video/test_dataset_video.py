# SPDX-License-Identifier: Apache-2.0
"""A row's image is the video's frame at the row's time, also where the video lacks frames or has too many."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from dataset_shapes import FRAMES, HEIGHT, WIDTH, level, write_shape

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_demonstrations

FPS, KEY = 10, "observation.images.top"
ROWS = 2 * FRAMES  # LeRobot puts both episodes into one file


def rewrite_video(root: Path, times: Sequence[float], shown: Sequence[int]) -> None:
    """Replaces the video by one with these frames: the time [s] of each, and the row whose image it shows."""
    file = root / "videos" / KEY / "chunk-000" / "file-000.mp4"
    with av.open(str(file), "w", format="mp4") as container:
        stream = container.add_stream("mjpeg", FPS)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
        stream.time_base = Fraction(1, 10000)
        for time, row in zip(times, shown, strict=True):
            pixels = np.full((HEIGHT, WIDTH, 3), level(row // FRAMES, row % FRAMES), np.uint8)
            packet = av.Packet(cv2.imencode(".jpg", pixels)[1].tobytes())
            packet.stream, packet.time_base, packet.is_keyframe = stream, stream.time_base, True
            packet.pts = packet.dts = round(time / stream.time_base)
            packet.duration = round(1 / FPS / stream.time_base)
            container.mux(packet)


def brightness(root: Path) -> list[int]:
    """The row that each row's image shows."""
    images = read_demonstrations(root).images["top"].mean(axis=(1, 2, 3))
    expected = np.array([level(row // FRAMES, row % FRAMES) for row in range(ROWS)])
    return np.abs(images[:, None] - expected).argmin(axis=1).tolist()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_shape(tmp_path / "set", "usual")


def test_a_lost_frame_is_refused_and_shifts_no_other(root: Path) -> None:
    kept = [row for row in range(ROWS) if row != 3]
    rewrite_video(root, [row / FPS for row in kept], kept)
    with pytest.raises(
        DatasetError, match=r"file-000.mp4 has no frame of .* at 0.3\d* s \(episode 0, frame 3\)"
    ):
        read_demonstrations(root)


def test_a_lost_frame_of_the_second_episode_is_named_there(root: Path) -> None:
    kept = [row for row in range(ROWS) if row != FRAMES + 2]
    rewrite_video(root, [row / FPS for row in kept], kept)
    with pytest.raises(DatasetError, match=r"episode 1, frame 2.*inspect --delete 1"):
        read_demonstrations(root)


def test_frames_between_the_rows_are_passed_over(root: Path) -> None:
    times = np.arange(2 * ROWS) / (2 * FPS)
    rewrite_video(
        root, times.tolist(), [n // 2 if n % 2 == 0 else (n // 2 + 5) % ROWS for n in range(2 * ROWS)]
    )
    assert brightness(root) == list(range(ROWS))


def test_jitter_of_a_fifth_of_a_frame_is_no_fault(root: Path) -> None:
    jitter = np.random.default_rng(0).uniform(0.0, 0.02, ROWS)
    rewrite_video(root, (np.arange(ROWS) / FPS + jitter).tolist(), range(ROWS))
    assert brightness(root) == list(range(ROWS))


def test_frames_that_lie_between_two_rows_are_refused(root: Path) -> None:
    rewrite_video(root, (np.arange(ROWS) / FPS + 0.05).tolist(), range(ROWS))
    with pytest.raises(DatasetError, match="has no frame"):
        read_demonstrations(root)


def test_a_video_of_another_size_than_stated_is_refused(root: Path) -> None:
    other = write_shape(root.parent / "other", "two_sizes")
    small = other / "videos" / "observation.images.wrist" / "chunk-000" / "file-000.mp4"
    (root / "videos" / KEY / "chunk-000" / "file-000.mp4").write_bytes(small.read_bytes())
    with pytest.raises(DatasetError, match=r"camera top, row 0: its image has 48x32 pixels"):
        read_demonstrations(root)
