# SPDX-License-Identifier: Apache-2.0
"""Depth images keep every value, or the reason why they cannot names what to change."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import CompressedImage, Image

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.images import check_camera_image, read_camera_image

MM = Camera("depth", "depth", 5, 7, 0.5, depth_unit="mm")
M = Camera("depth", "depth", 5, 7, 0.5, depth_unit="m")
NEAR = np.random.default_rng(0).integers(0, 65536, (5, 7)).astype(np.uint16)
FAR = np.random.default_rng(1).uniform(0.2, 9.0, (5, 7)).astype(np.float32)
FAR[0, :3] = np.nan, np.inf, 0.0  # as REP 118 marks what has no distance
PNG = cv2.imencode(".png", NEAR)[1].tobytes()


def raw(values: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Image:
    values = values.astype(values.dtype.newbyteorder(">" if big else "<"))
    rows = np.pad(values.view(np.uint8).reshape(5, -1), ((0, 0), (0, padding)))
    return Image(
        height=5, width=7, encoding=encoding, step=rows.shape[1], is_bigendian=int(big), data=rows.tobytes()
    )


def compressed(data: bytes, kind: str) -> CompressedImage:
    return CompressedImage(format=kind, data=data)


def picture(kind: str, values: np.ndarray) -> CompressedImage:
    return compressed(cv2.imencode(f".{kind}", values)[1].tobytes(), kind)


GREY = NEAR.astype(np.uint8)


@pytest.mark.parametrize(
    ("message", "camera"),
    [
        (raw(NEAR, "16UC1"), MM),
        (raw(NEAR, "16UC1", padding=6), MM),
        (raw(NEAR, "16UC1", big=True), MM),
        (raw(NEAR, "mono16"), MM),
        (raw(FAR, "32FC1"), M),
        (raw(FAR, "32FC1", padding=4, big=True), M),
        (compressed(PNG, "16UC1; png compressed "), MM),
        (compressed(bytes(12) + PNG, "16UC1; compressedDepth png"), MM),
        (compressed(bytes(12) + PNG, "16UC1; compressedDepth"), MM),
        (compressed(cv2.imencode(".tiff", FAR)[1].tobytes(), "32FC1; tiff compressed "), M),
    ],
)
def test_every_value_is_kept(message: Image | CompressedImage, camera: Camera) -> None:
    check_camera_image(message, camera)
    image = read_camera_image(message, camera)
    assert image.shape == (5, 7, 1) and image.dtype == camera.image_type and image.dtype.isnative
    np.testing.assert_array_equal(image[..., 0], NEAR if camera is MM else FAR)


@pytest.mark.parametrize(
    ("message", "camera", "words"),
    [
        (raw(NEAR, "16UC1"), M, "holds mm; the contract says cameras.depth.depth_unit: m. Set it to mm"),
        (raw(FAR, "32FC1"), MM, "holds m; .* Set it to m"),
        (Image(height=5, width=7, encoding="rgb8", step=21, data=bytes(105)), MM, "'rgb8' is no depth image"),
        (raw(NEAR, "8UC1"), MM, "'8UC1' is no depth image"),
        (
            Image(height=10, width=14, encoding="16UC1", data=bytes(280)),
            MM,
            "14x10, expected 7x5 .* not resized",
        ),
        (
            Image(height=5, width=7, encoding="16UC1", step=7, data=bytes(35)),
            MM,
            "step 7 is less than the",
        ),
        (Image(height=5, width=7, encoding="16UC1", step=14, data=bytes(69)), MM, "carries 69 bytes; 70 are"),
        (compressed(b"", "16UC1; compressedDepth png"), MM, "is empty"),
        (compressed(bytes(12) + PNG, "32FC1; compressedDepth png"), M, "has lost precision"),
        (compressed(bytes(12) + PNG, "32FC1; compressedDepth png"), MM, "has lost precision"),
        (compressed(bytes(50), "16UC1; compressedDepth rvl"), MM, "is no depth image: expected a PNG"),
        (
            picture("jpg", GREY),
            MM,
            "is no depth image",
        ),
        (compressed(PNG[:40], "16UC1; png compressed "), MM, "is cut or damaged"),
        (
            picture("png", GREY),
            MM,
            "a picture of uint8",
        ),
        (picture("png", NEAR[:4]), MM, "7x4, expected 7x5"),
    ],
)
def test_what_is_no_depth_image_of_the_contract_is_refused(message, camera: Camera, words: str) -> None:
    with pytest.raises(StreamError, match=words):
        read_camera_image(message, camera)


def test_a_depth_image_of_a_colour_camera_names_the_key() -> None:
    with pytest.raises(StreamError, match="say 'kind: depth' and its depth_unit"):
        read_camera_image(raw(NEAR, "16UC1"), Camera("depth", "depth", 5, 7, 0.5))
