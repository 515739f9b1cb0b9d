# SPDX-License-Identifier: Apache-2.0
"""Images of every encoding become the same RGB, and errors about unusable ones give the reason."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import CompressedImage, Image

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.images import ENCODINGS, check_image, image_to_rgb

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def message(array: np.ndarray, encoding: str, padding: int = 0) -> Image:
    rows = array.reshape(array.shape[0], -1).view(np.uint8)  # (h, bytes)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=7)
    image = Image(height=array.shape[0], width=array.shape[1], encoding=encoding, step=rows.shape[1])
    image.data = rows.tobytes()
    return image


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
        ({"step": 10}, ["step 10 is less than the 96 bytes of a row"]),
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


SMOOTH = cv2.resize(RGB[:3, :4], (32, 24), interpolation=cv2.INTER_CUBIC)  # (h, w, 3)


def packed_yuv(order: str) -> np.ndarray:
    """SMOOTH with four bytes for each pair of pixels, (h, w, 2)."""
    planar = cv2.cvtColor(SMOOTH, cv2.COLOR_RGB2YUV_I420)  # (3 h / 2, w)
    u, v = (planar[rows].reshape(12, 16).repeat(2, axis=0) for rows in (slice(24, 30), slice(30, 36)))
    parts = {"Y": planar[:24, 0::2], "y": planar[:24, 1::2], "U": u, "V": v}
    return np.stack([parts[name] for name in order], axis=2).reshape(24, 32, 2)


def planes(chroma: str) -> np.ndarray:
    """SMOOTH as NV12 ("UV") or NV21 ("VU"), (3 h / 2, w)."""
    planar = cv2.cvtColor(SMOOTH, cv2.COLOR_RGB2YUV_I420)  # (3 h / 2, w)
    u, v = planar[24:30].reshape(12, 16), planar[30:36].reshape(12, 16)
    pairs = np.stack([u, v] if chroma == "UV" else [v, u], axis=2).reshape(12, 32)
    return np.concatenate([planar[:24], pairs])


def mosaic(pattern: str) -> np.ndarray:
    """SMOOTH as the sensor behind a colour filter sees it, (h, w)."""
    result = np.empty((24, 32), np.uint8)
    for index, colour in enumerate(pattern):
        result[index // 2 :: 2, index % 2 :: 2] = SMOOTH[index // 2 :: 2, index % 2 :: 2, "rgb".index(colour)]
    return result


LAYOUTS = {
    "yuv422_yuy2": packed_yuv("YUyV"),
    "yuyv": packed_yuv("YUyV"),
    "YUYV": packed_yuv("YUyV"),
    "yuv422": packed_yuv("UYVy"),
    "uyvy": packed_yuv("UYVy"),
    "yvyu": packed_yuv("YVyU"),
    "nv12": planes("UV"),
    "nv21": planes("VU"),
    **{f"bayer_{pattern}8": mosaic(pattern) for pattern in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{pattern}16": mosaic(pattern).astype("<u2") * 257 for pattern in ("rggb", "grbg")},
    "rgb16": SMOOTH.astype("<u2") * 257,
    "bgr16": np.ascontiguousarray(SMOOTH[..., ::-1]).astype("<u2") * 257,
}


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", LAYOUTS)
def test_cameras_of_every_kind_give_the_same_picture(encoding: str, padding: int) -> None:
    layout = LAYOUTS[encoding]
    sent = message(layout, encoding, padding)
    sent.height = 24
    image = image_to_rgb(sent, 24, 32)
    assert image.shape == (24, 32, 3) and image.flags.c_contiguous
    # The edge of a mosaic has fewer neighbours to interpolate from.
    difference = np.abs(image.astype(int) - SMOOTH)[2:-2, 2:-2]
    assert difference.mean() < 8.0, "a wrong order of colours differs by far more"
    check_image(sent, 24, 32)


@pytest.mark.parametrize("is_bigendian", [False, True])
def test_the_byte_order_of_wide_values_counts(is_bigendian: bool) -> None:
    grey = RGB[..., 0]
    sent = message(grey.astype(">u2" if is_bigendian else "<u2") * 257, "mono16")
    sent.is_bigendian = is_bigendian
    np.testing.assert_array_equal(image_to_rgb(sent, 24, 32), np.repeat(grey[..., None], 3, axis=2))


def test_every_encoding_of_cameras_is_known() -> None:
    from sensor_msgs.msg import Image as _  # noqa: F401  the names are those of sensor_msgs

    for name in ("mono8", "mono16", "rgb8", "bgr8", "rgba8", "bgra8", "rgb16", "bgra16", "nv21", "yuy2"):
        assert name in ENCODINGS


@pytest.mark.parametrize(
    ("encoding", "values", "words"),
    [
        ("16UC1", 2, "distances or other measurements"),
        ("32FC1", 4, "distances or other measurements"),
        ("8UC3", 3, "does not say which colour"),
        ("rgb9", 3, "Did you mean 'rgb8'"),
    ],
)
def test_what_is_no_picture_is_refused_without_decoding(encoding: str, values: int, words: str) -> None:
    sent = message(np.zeros((24, 32, values), np.uint8), encoding)
    with pytest.raises(StreamError, match=words):
        check_image(sent, 24, 32)


@pytest.mark.parametrize(
    ("encoding", "height", "width", "words"),
    [("yuyv", 24, 33, "width must be even"), ("nv12", 25, 32, "height must be even")],
)
def test_impossible_sizes_are_refused(encoding: str, height: int, width: int, words: str) -> None:
    with pytest.raises(StreamError, match=words):
        check_image(Image(height=height, width=width, encoding=encoding, data=bytes(9999)), height, width)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_cut_compressed_image_is_refused_and_not_half_grey(suffix: str, part: float) -> None:
    data = cv2.imencode(suffix, RGB)[1].tobytes()
    with pytest.raises(StreamError, match="cannot be decoded"):
        image_to_rgb(CompressedImage(format="jpeg", data=data[: int(part * len(data))]), 24, 32)


def test_a_depth_image_in_a_png_is_refused_like_a_raw_one() -> None:
    data = cv2.imencode(".png", RGB[..., 0].astype(np.uint16) * 99)[1].tobytes()
    with pytest.raises(StreamError, match="16 bits per value: it is a depth image"):
        check_image(CompressedImage(format="16UC1; png compressed", data=data), 24, 32)


@pytest.mark.parametrize(("encoding", "channels"), [("bgra8", 4), ("bgr8", 3), ("mono8", 1)])
def test_an_encoding_that_only_cv_bridge_knows_is_converted_by_it(
    monkeypatch: pytest.MonkeyPatch, encoding: str, channels: int
) -> None:
    pytest.importorskip("cv_bridge", reason="cv_bridge is not installed")
    values = np.random.default_rng(1).integers(0, 256, (24, 32 * channels), dtype=np.uint8)
    msg = Image(height=24, width=32, encoding=encoding, step=32 * channels + 3)
    msg.data = np.pad(values, ((0, 0), (0, 3))).tobytes()
    expected = image_to_rgb(msg, 24, 32)
    monkeypatch.delitem(ENCODINGS, encoding)
    check_image(msg, 24, 32)
    np.testing.assert_array_equal(image_to_rgb(msg, 24, 32), expected)


def test_a_message_of_compressed_depth_on_a_colour_camera_is_named() -> None:
    data = bytes(12) + cv2.imencode(".png", RGB[..., 0].astype(np.uint16))[1].tobytes()
    with pytest.raises(StreamError, match=r"it is a depth image, which is no picture.*kind: depth"):
        image_to_rgb(CompressedImage(format="16UC1; compressedDepth png", data=data), 24, 32)
