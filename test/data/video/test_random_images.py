# SPDX-License-Identifier: Apache-2.0
"""Images read in any order equal those read in order, bit for bit, and damage is reported alike."""

import json
import multiprocessing
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from dataset_shapes import write_shape
from tiny_dataset import write_tiny_dataset

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import Demonstrations, read_demonstrations

FPS, LENGTH, EPISODES = 30, 40, 3
ROWS = EPISODES * LENGTH
ORDERS = np.random.default_rng(0)


def encode(file: Path, codec: str, options: dict[str, str], size: tuple[int, int], seed: int) -> None:
    """Replaces a video by one of noise that moves, so that a wrong frame is seen."""
    rng = np.random.default_rng(seed)
    with av.open(str(file), "w", format="mp4") as container:
        stream = container.add_stream(codec, FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for number in range(LENGTH):
            pixels = rng.integers(0, 256, (*size, 3)).astype(np.uint8) // 2 + number
            frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def check_equal(ordered: Demonstrations, streamed: Demonstrations) -> None:
    """Rows in random order, one by one, all at once, and repeated."""
    for name, images in ordered.images.items():
        source = streamed.images[name]
        assert len(source) == len(images) and source.shape == images.shape
        for rows in (
            ORDERS.integers(0, len(images), (8, 2)),
            np.array([[0, 0], [len(images) - 1, 0]]),
            ORDERS.permutation(len(images)),
        ):
            np.testing.assert_array_equal(source[rows], images[rows])
        for row in ORDERS.permutation(len(images))[:20]:
            np.testing.assert_array_equal(source[np.array([row])], images[[row]])


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("h264", {"g": "2", "tune": "zerolatency"}),
        pytest.param("h264", {"g": "250", "bf": "0"}, marks=pytest.mark.slow),
        ("h264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
        pytest.param("hevc", {"g": "15", "x265-params": "log-level=none:bframes=4"}, marks=pytest.mark.slow),
        ("libsvtav1", {"g": "2", "preset": "12"}),
    ],
    ids=["recorder", "one key frame", "b-frames", "hevc", "lerobot"],
)
def test_every_codec(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    root, size = write_tiny_dataset(tmp_path / "set", EPISODES, LENGTH), (64, 80)
    for number, file in enumerate(root.glob("videos/**/*.mp4")):
        try:
            encode(file, codec, options, size, number)
        except (av.error.FFmpegError, ValueError) as error:
            pytest.skip(f"this FFmpeg cannot encode {codec}: {error}")
    info = root / "meta" / "info.json"
    content = json.loads(info.read_text())
    content["features"]["observation.images.cam0"]["shape"] = [*size, 3]
    info.write_text(json.dumps(content))
    for smaller in (None, (16, 20)):
        check_equal(
            read_demonstrations(root, size=smaller), read_demonstrations(root, size=smaller, stream=True)
        )


@pytest.mark.parametrize("shape", ["usual", "image", "images_and_video", "channel_first", "dotted_camera"])
def test_every_way_to_store_images(tmp_path: Path, shape: str) -> None:
    root = write_shape(tmp_path / "set", shape)
    check_equal(read_demonstrations(root), read_demonstrations(root, stream=True))


def test_several_datasets_are_one(tmp_path: Path) -> None:
    roots = [write_shape(tmp_path / "one", "usual"), write_shape(tmp_path / "two", "usual", episodes=1)]
    ordered, streamed = read_demonstrations(roots), read_demonstrations(roots, stream=True)
    check_equal(ordered, streamed)
    np.testing.assert_array_equal(ordered.state, streamed.state)
    assert not streamed.videos


def test_more_files_than_stay_open(tmp_path: Path) -> None:
    roots = [write_shape(tmp_path / str(number), "usual", episodes=1) for number in range(3)]
    ordered, streamed = read_demonstrations(roots), read_demonstrations(roots, stream=True)
    from dit_policy_ros.data.video import _seek

    limit, _seek._OPEN_FILES = _seek._OPEN_FILES, 1
    try:
        check_equal(ordered, streamed)
    finally:
        _seek._OPEN_FILES = limit


def test_forked_processes_read_beside_their_parent(tmp_path: Path) -> None:
    root = write_tiny_dataset(tmp_path / "set", EPISODES, LENGTH)
    ordered = read_demonstrations(root).images["cam0"]
    streamed = read_demonstrations(root, stream=True).images["cam0"]
    np.testing.assert_array_equal(streamed[np.arange(10)], ordered[:10])  # the parent's file is open

    def read(seed: int) -> None:
        rows = np.random.default_rng(seed).permutation(ROWS)
        os._exit(0 if (streamed[rows] == ordered[rows]).all() else 1)

    children = [multiprocessing.get_context("fork").Process(target=read, args=(seed,)) for seed in range(3)]
    for child in children:
        child.start()
    rows = np.random.default_rng(9).permutation(ROWS)
    np.testing.assert_array_equal(streamed[rows], ordered[rows])
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]


def test_a_lost_frame_and_a_cut_file_are_reported_as_when_reading_in_order(tmp_path: Path) -> None:
    root = write_tiny_dataset(tmp_path / "set", EPISODES, LENGTH)
    file = sorted(root.glob("videos/**/*.mp4"))[-1]
    images = read_demonstrations(root, stream=True).images["cam0"]
    content = file.read_bytes()
    encoded = file.with_suffix(".short.mp4")
    with av.open(str(file)) as source, av.open(str(encoded), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and float(packet.pts * stream.time_base) < 20.5 / FPS:
                packet.stream = copy
                target.mux(packet)
    os.replace(encoded, file)
    assert images[np.array([100])].shape[0] == 1
    with pytest.raises(DatasetError, match=r"no frame of .*cam0 at 0\.8\d* s \(episode 2, frame 25\)"):
        read_demonstrations(root, stream=True).images["cam0"][np.array([105])]
    file.write_bytes(content[: len(content) // 3])
    with pytest.raises(DatasetError, match="cannot be decoded"):
        read_demonstrations(root, stream=True).images["cam0"][np.array([81])]
