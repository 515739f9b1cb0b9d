# SPDX-License-Identifier: Apache-2.0
"""What a camera's images are good for is known from the first one; a bad one among good ones costs itself."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from contracts import SMALL_MAPPING, small_mapping
from sensor_msgs.msg import CompressedImage, Image, JointState

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import StaleObservation
from dit_policy_ros.ros.bags._playback import Playback
from dit_policy_ros.ros.common import SensorStreams, image_to_rgb, to_stamp
from dit_policy_ros.ros.inference._frame_decoder import FrameDecoder

MS = 1_000_000
BEGIN = 1_700_000_000_000 * MS
HEIGHT, WIDTH = 48, 64
GOOD = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


class Robot:
    """Publishes what the tests say, on the streams of a node whose clock it sets."""

    def __init__(self, compressed: bool = False) -> None:
        cameras = small_mapping()["cameras"] | {"names": ["top"]}
        del cameras["wrist"]
        cameras["top"] |= {"compressed": compressed}
        contract = parse_contract(small_mapping(cameras=cameras), "test")
        self.log: list[str] = []
        self.woken = 0
        self._playback = Playback(self.log.append)
        self.streams = SensorStreams(self._playback, contract, on_image=self._on_image)
        self._callbacks = {each.topic: each.callback for each in self._playback.inputs}
        self.decode = FrameDecoder({"top": (HEIGHT, WIDTH)})

    def _on_image(self) -> None:
        self.woken += 1

    def publish(self, at_ms: int, image: Image | CompressedImage) -> None:
        """Joint states and an image at a time [ms]."""
        self._playback.now_ns = BEGIN + at_ms * MS
        joints = JointState(name=list(SMALL_MAPPING["joints"]), position=[0.0, 0.0, 0.0])
        for topic, message in (("joint_states", joints), ("top/image_raw", image)):
            message.header.stamp = to_stamp(self._playback.now_ns)
            self._callbacks[topic](message)

    def stale(self) -> str:
        return self.streams.observations.stale(self._playback.now_ns).get("top", "")

    def observed(self) -> tuple[int, np.ndarray]:
        """Stamp [ms] and image that the policy sees."""
        observation, images = self.decode.newest(self.streams.observations, self._playback.now_ns)
        return (observation.stamp_ns - BEGIN) // MS, images["top"][-1]


def raw(encoding: str = "rgb8", values: int = 3, **changes) -> Image:
    data = np.resize(GOOD, (HEIGHT, WIDTH, values)).tobytes()
    fields = {"height": HEIGHT, "width": WIDTH, "step": WIDTH * values, "data": data} | changes
    return Image(encoding=encoding, **fields)


def jpeg(part: float = 1.0) -> CompressedImage:
    data = cv2.imencode(".jpg", GOOD)[1].tobytes()
    return CompressedImage(format="jpeg", data=data[: int(part * len(data))])


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (raw("16UC1", 2), "distances or other measurements"),
        (raw("quirky"), "it is not known"),
        (raw(height=32, data=bytes(9999)), "image is 64x32, expected 64x48"),
        (raw(data=b"cut"), "carries 3 bytes"),
        (raw(step=64), "step 64 is less than the 192 bytes"),
        (jpeg(0.0), "is empty"),
        (jpeg(0.5), "cannot be decoded"),
        (CompressedImage(format="jpeg", data=b"not at all"), "cannot be decoded"),
    ],
)
def test_a_camera_that_cannot_be_used_is_known_before_anything_is_promised(image, words) -> None:
    robot = Robot(compressed=isinstance(image, CompressedImage))
    for frame in range(30):
        robot.publish(frame * 33, image)
    assert "nothing received but 30 messages that cannot be used" in robot.stale() and words in robot.stale()
    assert robot.woken == 0 and words in robot.log[0]


@pytest.mark.parametrize("encoding", ["yuv422_yuy2", "uyvy", "bgra8", "mono8"])
def test_usual_cameras_are_live_at_once(encoding: str) -> None:
    robot = Robot()
    values = {"bgra8": 4, "mono8": 1}.get(encoding, 2)
    robot.publish(0, raw(encoding, values))
    assert robot.stale() == "" and robot.observed()[1].shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("bad", [jpeg(0.0), jpeg(0.5), CompressedImage(format="jpeg", data=b"no picture")])
def test_one_bad_image_leaves_the_policy_with_the_one_before(bad: CompressedImage) -> None:
    robot = Robot(compressed=True)
    for frame in range(60):
        robot.publish(frame * 33, bad if frame == 30 else jpeg())
        stamp, image = robot.observed()
        assert stamp == (29 if frame == 30 else frame) * 33 and robot.stale() == ""
        np.testing.assert_array_equal(image, image_to_rgb(jpeg(), HEIGHT, WIDTH))
    assert robot.streams.observations.images["top"].counters.refused == 1


def test_images_that_stay_bad_make_the_stream_stale_and_good_ones_live_again() -> None:
    robot = Robot(compressed=True)
    for frame in range(10):
        robot.publish(frame * 33, jpeg())
    robot.observed()
    for frame in range(10, 40):
        robot.publish(frame * 33, jpeg(0.5))
        if not robot.stale():
            assert robot.observed()[0] == 9 * 33
    with pytest.raises(StaleObservation, match="Since then came 30 messages that cannot be used: compressed"):
        robot.observed()
    assert robot.streams.observations.images["top"].counters.accepted == 10, "they no longer come in"
    robot.publish(40 * 33, jpeg())
    assert robot.stale() == "" and robot.observed()[0] == 40 * 33
