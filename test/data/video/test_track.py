# SPDX-License-Identifier: Apache-2.0
"""With keep_jpeg, a camera's JPEG images are stored byte for byte; LeRobot reads, edits and extends them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
import av
import cv2
from episodes import CAMERAS, SPEC, extend_by_lerobot, frame, load, make

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.recording import Recover, pending_episodes, remove_episodes
from dit_policy_ros.data.video import VideoSettings

TOP = replace(CAMERAS[0], compressed=True)
MIXED = (TOP, CAMERAS[1])  # one camera sends JPEG, the other does not
KEY = "observation.images.top"
SAMPLINGS = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}


def picture(seed: int, height: int = TOP.height, width: int = TOP.width) -> np.ndarray:
    """An image with edges and colours, (h, w, 3) RGB."""
    rough = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(image: np.ndarray, sampling: int = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return cv2.imencode(".jpg", image[..., ::-1], options)[1].tobytes()


def start(root: Path, **changes):
    return make(root, replace(SPEC, cameras=MIXED), video=VideoSettings(keep_jpeg=True), **changes)


def add(writer, images: list[bytes]) -> None:
    for index, image in enumerate(images):
        one = frame(0, index)
        one["images"]["top"] = image
        writer.add_frame(**one, task="touch the cube")


def record(root: Path, images: list[bytes]) -> None:
    writer = start(root)
    add(writer, images)
    writer.save_episode()
    writer.finalize()


def stored(root: Path, episode: int = 0) -> list[bytes]:
    """The JPEG images in the video file of an episode."""
    with av.open(str(root / load(root).meta.get_video_file_path(episode, KEY))) as container:
        assert container.streams.video[0].codec.name == "mjpeg"
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def read(dataset, row: int) -> np.ndarray:
    """The image that LeRobot reads, (h, w, 3) uint8."""
    return (dataset[row][KEY].permute(1, 2, 0).numpy() * 255.0).round().astype(np.uint8)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_images_are_kept_byte_for_byte_and_read_by_lerobot(tmp_path, sampling: str) -> None:
    pictures = [picture(seed) for seed in range(6)]
    images = [jpeg(each, SAMPLINGS[sampling]) for each in pictures]
    record(tmp_path / "dataset", images)
    assert stored(tmp_path / "dataset") == images
    dataset = load(tmp_path / "dataset")
    assert dataset.num_frames == 6
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    for row in (5, 0, 3, 1, 2, 4):
        (expected,) = decoder.decode(av.Packet(images[row]))
        np.testing.assert_array_equal(read(dataset, row), expected.to_ndarray(format="rgb24"))
        assert np.abs(read(dataset, row).astype(int) - pictures[row]).mean() < 8.0
        wrist = dataset[row]["observation.images.wrist"].numpy() * 255.0
        np.testing.assert_allclose(wrist, frame(0, row)["images"]["wrist"][0, 0, 0], atol=3.0)


def test_the_policy_node_sees_the_pixels_that_were_recorded(tmp_path) -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from sensor_msgs.msg import CompressedImage

    from dit_policy_ros.ros.common import image_to_rgb

    images = [jpeg(picture(seed), cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444) for seed in range(3)]
    record(tmp_path / "dataset", images)
    dataset = load(tmp_path / "dataset")
    for row, image in enumerate(images):
        seen = image_to_rgb(CompressedImage(format="jpeg", data=image), TOP.height, TOP.width)
        assert np.abs(read(dataset, row).astype(int) - seen).max() <= 3  # two decoders' rounding


def test_the_statistics_are_those_of_the_decoded_images(tmp_path) -> None:
    images = [jpeg(picture(seed)) for seed in range(5)]
    record(tmp_path / "dataset", images)
    dataset = load(tmp_path / "dataset")
    seen = np.stack([read(dataset, row) for row in range(5)]) / 255.0
    stats = dataset.meta.stats[KEY]
    np.testing.assert_allclose(np.ravel(stats["mean"]), seen.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(np.ravel(stats["std"]), seen.std(axis=(0, 1, 2)), rtol=1e-6)


def test_grey_images_are_stored_too(tmp_path) -> None:
    grey = picture(0)[..., :1]
    record(tmp_path / "dataset", [cv2.imencode(".jpg", grey)[1].tobytes()] * 3)
    image = read(load(tmp_path / "dataset"), 1).astype(int)
    assert np.abs(image - grey).mean() < 8.0
    assert np.ptp(image, axis=2).max() == 0


def test_an_interrupted_episode_is_recovered_with_the_same_bytes(tmp_path) -> None:
    images = [jpeg(picture(seed)) for seed in range(8)]
    writer = start(tmp_path / "dataset")
    add(writer, images)
    writer.finalize()  # as if the process had ended
    assert len(pending_episodes(tmp_path / "dataset")) == 1
    start(tmp_path / "dataset", recover=Recover.KEEP).finalize()
    assert stored(tmp_path / "dataset") == images


@pytest.mark.slow
def test_lerobot_edits_and_extends_the_dataset(tmp_path) -> None:
    root = tmp_path / "dataset"
    episodes = [[jpeg(picture(10 * episode + index)) for index in range(4)] for episode in range(3)]
    for images in episodes:
        record(root, images)
    remove_episodes(root, [1])
    assert [stored(root, episode) for episode in (0, 1)] == [episodes[0], episodes[2]]
    extend_by_lerobot(root, 1, 3, "push")
    record(root, episodes[1])
    assert [stored(root, episode) for episode in (0, 1, 3)] == [episodes[0], episodes[2], episodes[1]]
    dataset = load(root)
    assert dataset.meta.episodes["length"][:] == [4, 4, 3, 4]
    np.testing.assert_allclose(read(dataset, 10), frame(1, 2)["images"]["top"], atol=3.0)
    (decoded,) = av.CodecContext.create("mjpeg", "r").decode(av.Packet(episodes[1][3]))
    np.testing.assert_array_equal(read(dataset, 14), decoded.to_ndarray(format="rgb24"))
    assert json.loads((root / "meta" / "info.json").read_text())["features"][KEY]["info"]["video.fps"] == 30


MISTAKES = {
    "PNG": (cv2.imencode(".png", picture(9))[1].tobytes(), "is not a complete JPEG"),
    "half a JPEG": (jpeg(picture(9))[:500], "is not a complete JPEG"),
    "nothing": (b"", "is not a complete JPEG"),
    "another size": (jpeg(picture(9, 96, 128)), "image 3 is 128x96, expected 64x48 (width x height)"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_an_image_that_cannot_be_decoded_ends_the_episode(tmp_path, case: str) -> None:
    bad, message = MISTAKES[case]
    images = [jpeg(picture(seed)) for seed in range(3)]
    writer = start(tmp_path / "dataset")
    add(writer, [*images, bad])
    writer.end_episode()
    with pytest.raises(DatasetError) as error:
        add(writer, images[:1])
    assert message in str(error.value) and "video.keep_jpeg" in str(error.value)
    assert writer.save_episode() == 0
    writer.finalize()
    assert stored(tmp_path / "dataset") == images


@pytest.mark.parametrize("image", [picture(0), jpeg(picture(0))], ids=["array", "bytes"])
def test_each_camera_takes_only_arrays_or_only_jpeg(tmp_path, image) -> None:
    kept = isinstance(image, np.ndarray)
    writer = make(tmp_path / "dataset", replace(SPEC, cameras=MIXED), video=VideoSettings(keep_jpeg=kept))
    assert set(writer.jpeg_cameras) == ({"top"} if kept else set())
    with pytest.raises(ValueError, match="top: expected"):
        add(writer, [image])
    writer.finalize()
