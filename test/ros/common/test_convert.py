# SPDX-License-Identifier: Apache-2.0
"""Messages are converted exactly, and errors about unusable ones give the reason."""

import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import CompressedImage, Image, JointState

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.common import JointStateConverter, image_to_rgb, stamp_ns, to_stamp
from dit_policy_ros.ros.common import _convert as convert

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def message(array: np.ndarray, encoding: str, padding: int = 0) -> Image:
    rows = array.reshape(array.shape[0], -1).view(np.uint8)  # (h, bytes)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=7)
    image = Image(height=array.shape[0], width=array.shape[1], encoding=encoding, step=rows.shape[1])
    image.data = rows.tobytes()
    return image


@pytest.mark.parametrize("ns", [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789])
def test_stamps_survive_a_round_trip(ns: int) -> None:
    assert stamp_ns(to_stamp(ns)) == ns


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("array", "encoding"),
    [
        (RGB, "rgb8"),
        (np.ascontiguousarray(RGB[..., ::-1]), "bgr8"),
        (np.dstack([RGB, np.full((24, 32), 9, np.uint8)]), "rgba8"),
        (np.dstack([RGB[..., ::-1], np.full((24, 32), 9, np.uint8)]), "bgra8"),
    ],
)
def test_any_colour_layout_gives_the_same_rgb(array: np.ndarray, encoding: str, padding: int) -> None:
    image = image_to_rgb(message(array, encoding, padding), 24, 32)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, RGB)


def test_mono_images_get_three_equal_channels() -> None:
    image = image_to_rgb(message(RGB[..., :1], "mono8"), 24, 32)
    np.testing.assert_array_equal(image, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images_give_the_same_rgb(suffix: str) -> None:
    smooth = np.zeros((24, 32, 3), np.uint8)
    smooth[:, :16] = (200, 30, 60)
    data = cv2.imencode(suffix, smooth[..., ::-1])[1].tobytes()
    image = image_to_rgb(CompressedImage(format=f"rgb8; {suffix[1:]} compressed bgr8", data=data), 24, 32)
    np.testing.assert_allclose(image[:, :12].astype(int), smooth[:, :12], atol=6)
    assert image.flags.c_contiguous
    assert image_to_rgb(CompressedImage(format="png", data=data), 12, 16).shape == (12, 16, 3)


@pytest.mark.parametrize(("data", "words"), [(b"", "0 bytes"), (b"no picture at all", "cannot be decoded")])
def test_undecodable_compressed_images_raise(data: bytes, words: str) -> None:
    with pytest.raises(StreamError, match=words):
        image_to_rgb(CompressedImage(format="jpeg", data=data), 24, 32)


def test_a_compressed_image_of_another_aspect_ratio_is_refused() -> None:
    data = cv2.imencode(".png", RGB)[1].tobytes()
    with pytest.raises(StreamError, match="image is 32x24, expected 24x24"):
        image_to_rgb(CompressedImage(format="png", data=data), 24, 24)


def test_rgb_of_the_right_size_is_not_copied() -> None:
    msg = message(RGB, "rgb8")
    assert np.shares_memory(image_to_rgb(msg, 24, 32), np.frombuffer(msg.data, dtype=np.uint8))


@pytest.mark.parametrize(("height", "width"), [(12, 16), (48, 64)])
def test_another_resolution_is_resized(height: int, width: int) -> None:
    flat = np.full((24, 32, 3), (10, 20, 30), dtype=np.uint8)
    image = image_to_rgb(message(flat, "rgb8"), height, width)
    assert image.shape == (height, width, 3)
    assert (image == (10, 20, 30)).all()


def test_downscaling_averages_pixels() -> None:
    checker = np.indices((24, 32)).sum(axis=0) % 2 * 200
    image = image_to_rgb(message(np.repeat(checker[..., None].astype(np.uint8), 3, 2), "rgb8"), 12, 16)
    assert (image == 100).all()


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"encoding": "klingon8"}, ["'klingon8'", "Publish rgb8"]),
        ({"encoding": "16UC1", "step": 0, "data": bytes(24 * 32 * 2)}, ["'16UC1'"]),
        ({"data": bytes(10)}, ["carries 10 bytes; 2304 are needed"]),
        ({"step": 10}, ["step 10"]),
        ({"height": 0, "data": b""}, ["empty"]),
        ({"width": 24, "step": 72}, ["24x24", "32x24", "aspect ratio"]),
    ],
)
def test_errors_about_unusable_images_give_the_reason(change: dict, fragments: list[str]) -> None:
    msg = message(RGB, "rgb8")
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(StreamError) as caught:
        image_to_rgb(msg, 24, 32)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_cv_bridge_that_fails_to_import_is_explained(monkeypatch) -> None:
    convert._bridge.cache_clear()
    monkeypatch.setitem(sys.modules, "cv_bridge.boost", None)
    with pytest.raises(StreamError, match=r"numpy 1 .* numpy \d.*pip install cv-bridge"):
        image_to_rgb(message(RGB[..., :1], "mono8"), 24, 32)
    image_to_rgb(message(RGB, "bgr8"), 24, 32)


def joint_state(names: list[str], positions: list[float]) -> JointState:
    return JointState(name=names, position=positions)


def test_joints_are_found_by_name_in_any_order() -> None:
    converter = JointStateConverter(["a", "b", "c"])
    np.testing.assert_array_equal(
        converter(joint_state(["c", "x", "a", "b"], [3.0, 9.0, 1.0, 2.0])), [1, 2, 3]
    )
    np.testing.assert_array_equal(converter(joint_state(["a", "b", "c"], [4.0, 5.0, 6.0])), [4, 5, 6])


def test_nan_in_joints_outside_the_contract_is_ignored() -> None:
    np.testing.assert_array_equal(JointStateConverter(["a"])(joint_state(["x", "a"], [np.nan, 1.0])), [1.0])


@pytest.mark.parametrize(
    ("names", "positions", "fragments"),
    [
        (["a"], [1.0], ["lacks left_b", "it has: a"]),
        (["a", "left_bb"], [1.0, 2.0], ["lacks left_b", "Did you mean 'left_bb'?", "Set 'joints'"]),
        (["a", "left_b"], [1.0], ["2 names but 1 positions"]),
        (["a", "left_b", "a"], [1.0, 2.0, 3.0], ["names a more than once"]),
        (["left_b", "a"], [np.nan, 2.0], ["not finite: left_b = nan"]),
        (["left_b", "a"], [1.0, np.inf], ["not finite: a = inf"]),
        ([], [], ["lacks a, left_b"]),
    ],
)
def test_errors_about_unusable_joint_states_give_the_reason(
    names: list[str], positions: list[float], fragments: list[str]
) -> None:
    with pytest.raises(StreamError) as caught:
        JointStateConverter(["a", "left_b"])(joint_state(names, positions))
    for fragment in fragments:
        assert fragment in str(caught.value)
