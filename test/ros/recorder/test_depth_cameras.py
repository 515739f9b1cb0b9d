# SPDX-License-Identifier: Apache-2.0
"""A depth camera is recorded over DDS and from a bag, pixel by pixel as it was published."""

import copy
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from mostly_slow import mostly_slow

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from contracts import small_mapping
from episodes import load
from rosbags.rosbag2 import StoragePlugin
from sensor_msgs.msg import CompressedImage, Image
from small_bags import BEGIN, SECOND, messages, write_bag
from waiting import wait_for

from dit_policy_ros.cli.bag_to_dataset import main
from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.ros.common import qos, to_stamp

HEIGHT, WIDTH = 31, 45  # no video could have this size
RAW = {"topic": "depth/image_raw", "height": HEIGHT, "width": WIDTH, "max_age": 2.0, "kind": "depth"}
MM, M = RAW | {"depth_unit": "mm"}, RAW | {"depth_unit": "m"}
PACKED = MM | {"compressed": True, "topic": "depth/image_raw/compressedDepth"}


def mapping_with(camera: dict[str, Any]) -> dict[str, Any]:
    mapping = copy.deepcopy(small_mapping())
    mapping["cameras"] |= {"names": [*mapping["cameras"]["names"], "depth"], "depth": camera}
    return mapping


def distances(number: int, unit: str) -> np.ndarray:
    """An image (h, w, 1) that tells its number, with values up to the ends of the range."""
    if unit == "m":
        return np.random.default_rng(number).uniform(0.2, 9.0, (HEIGHT, WIDTH, 1)).astype(np.float32)
    image = np.random.default_rng(number).integers(0, 65536, (HEIGHT, WIDTH, 1), dtype=np.uint16)
    image[0, 0] = number
    return image


def message(number: int, stamp_ns: int, camera: dict[str, Any]) -> Image | CompressedImage:
    image = distances(number, camera["depth_unit"])
    if camera.get("compressed"):
        data = bytes(12) + cv2.imencode(".png", image)[1].tobytes()
        msg = CompressedImage(format="16UC1; compressedDepth png", data=data)
    else:
        encoding = {"mm": "16UC1", "m": "32FC1"}[camera["depth_unit"]]
        step = WIDTH * image.itemsize
        msg = Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=step, data=image.tobytes())
    msg.header.stamp = to_stamp(stamp_ns)
    return msg


def assert_kept(root: Path, numbers: list[int], unit: str) -> None:
    dataset = load(root)
    feature = dataset.features["observation.images.depth"]
    assert feature["dtype"] == "image" and feature["info"] == {"is_depth_map": True, "depth_unit": unit}
    for row, number in enumerate(numbers):
        image = dataset[row]["observation.images.depth"].numpy()[0]  # (h, w) [mm]
        expected = distances(number, unit)[..., 0] * (1.0 if unit == "mm" else np.float32(1000.0))
        np.testing.assert_allclose(image, expected, rtol=0.0 if unit == "mm" else 1e-6)


@pytest.mark.parametrize("keep_jpeg", mostly_slow([False, True], 1))
def test_the_recorder_keeps_every_pixel(start_session, tmp_path: Path, keep_jpeg: bool) -> None:
    session = start_session(mapping_with(PACKED), **{"video.keep_jpeg": keep_jpeg})
    publisher = session.robot.create_publisher(CompressedImage, PACKED["topic"], qos.IMAGES)
    stop = threading.Event()

    def publish() -> None:
        number = 0
        while not stop.wait(1 / 30):
            publisher.publish(message(number, session.robot.get_clock().now().nanoseconds, PACKED))
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        session.ready()
        answer = session.record(8)
    finally:
        stop.set()
        thread.join()
    assert answer.success, answer.message
    session.node.shut_down()
    dataset = load(tmp_path / "dataset")
    numbers = [int(dataset[row]["observation.images.depth"][0, 0, 0]) for row in range(dataset.num_frames)]
    assert numbers == sorted(numbers)
    assert_kept(tmp_path / "dataset", numbers, "mm")


def test_a_colour_image_on_the_topic_is_said_before_an_episode_begins(start_session) -> None:
    session = start_session(mapping_with(MM))
    publisher = session.robot.create_publisher(Image, MM["topic"], qos.IMAGES)
    wrong = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=bytes(3 * HEIGHT * WIDTH))

    def refused() -> bool:
        wrong.header.stamp = session.robot.get_clock().now().to_msg()
        publisher.publish(wrong)
        return "'rgb8' is no depth image" in session.begin().message

    wait_for(session.robot.has_subscribers, 60.0, "the recorder subscribes to the commands")
    session.robot.command()
    wait_for(refused, 60.0, "the reason")


@pytest.mark.parametrize("camera", [MM, M, PACKED], ids=["mm", "m", "compressedDepth"])
def test_a_bag_is_converted_pixel_by_pixel(tmp_path: Path, camera: dict[str, Any]) -> None:
    found = messages()
    for number in range(180):
        stamp = BEGIN + number * SECOND // 30
        found.append((stamp + 5_000_000, f"/{camera['topic']}", message(number, stamp, camera)))
    # One image is cut: the one before takes its place, and its frame is flagged.
    cut = [each for _, topic, each in found if topic.startswith("/depth")][15]
    cut.data = bytes(cut.data)[:40]
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, sorted(found, key=lambda each: each[0]))
    config = tmp_path / "robot.yaml"
    config.write_text(yaml.safe_dump({"/**": {"ros__parameters": mapping_with(camera)}}))
    root = tmp_path / "set"
    options = ["--config", str(config), "--dataset", str(root), "--episode", "0.2", "0.8", "push"]
    assert main([str(bag), *options]) == 0
    ((first, last),) = read_records(root)[0].repeated["depth"]
    assert first == last
    numbers = [15 - first + row for row in range(load(root).num_frames)]
    numbers[first] -= 1
    assert_kept(root, numbers, camera["depth_unit"])
