# SPDX-License-Identifier: Apache-2.0
"""From the same messages, the recorder stores exactly the observations that the policy node uses."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import small_mapping
from sensor_msgs.msg import CompressedImage, Image, JointState

from dit_policy_ros.core.contract import Contract, parse_contract, parse_mapping
from dit_policy_ros.core.errors import StaleObservation
from dit_policy_ros.core.recording import EpisodeFrame, EpisodeSampler
from dit_policy_ros.core.sensing import Observation
from dit_policy_ros.ros.bags._playback import Playback
from dit_policy_ros.ros.common import SensorSettings, SensorStreams, to_stamp
from dit_policy_ros.ros.inference._frame_decoder import FrameDecoder
from dit_policy_ros.ros.recorder import ActionSettings, RecorderStreams
from dit_policy_ros.ros.recorder._frame_recorder import ImageReader
from dit_policy_ros.ros.recorder._parameters import COMMAND

MS = 1_000_000  # [ns]
PERIOD = 40 * MS  # [ns] at 25 Hz every instant of the grid is a whole number of ns
BEGIN = 1_700_000_000_000 * MS
SECONDS = 6
LOST = {"top": {60, 61}, "wrist": {35, 90, 91, 92}}  # images that never arrive


def contract() -> Contract:
    """The wrist camera publishes JPEG, and stamps images 12 ms after their exposure."""
    mapping = small_mapping(fps=25.0)
    cameras = dict(mapping["cameras"])
    cameras["wrist"] = cameras["wrist"] | {"compressed": True, "latency": 0.012}
    return parse_contract(mapping | {"cameras": cameras}, "test")


def picture(number: int, height: int, width: int) -> np.ndarray:
    """A random image, (h, w, 3); different for each number."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def image(camera, number: int) -> Image | CompressedImage:
    pixels = picture(number, camera.height, camera.width)
    if camera.compressed:
        return CompressedImage(format="jpeg", data=cv2.imencode(".jpg", pixels)[1].tobytes())
    step = 3 * camera.width
    return Image(height=camera.height, width=camera.width, encoding="rgb8", step=step, data=pixels.tobytes())


def messages(robot: Contract) -> list[tuple[int, str, object]]:
    """(received [ns], topic, message), in order of arrival. Only the top camera's stamps are on the grid."""
    rng = np.random.default_rng(1)
    found: list[tuple[int, str, object]] = []
    for camera in robot.cameras:
        wrist = camera.name == "wrist"
        for number in range(SECONDS * 25):
            stamp = BEGIN + number * PERIOD + (7 * MS + int(rng.integers(-3 * MS, 3 * MS)) if wrist else 0)
            delay = int(rng.integers(2 * MS, 20 * MS) if wrist else rng.integers(10 * MS, 39 * MS))
            if number not in LOST[camera.name]:
                message = image(camera, number + 1000 * wrist)
                message.header.stamp = to_stamp(stamp)
                found.append((stamp + delay, camera.topic, message))
    received = 0
    for number in range(SECONDS * 100):
        stamp = BEGIN + number * 10 * MS + int(rng.integers(0, 4 * MS))
        received = max(received + 1, stamp + int(rng.integers(MS, 5 * MS)))
        names = list(rng.permutation(robot.joints))
        joints = JointState(name=names, position=rng.normal(size=len(names)).tolist())
        joints.header.stamp = to_stamp(stamp)
        if not 220 <= number < 235:  # a gap that is longer than a frame
            found.append((received, "joint_states", joints))
        if number % 3 == 0:
            found.append((received, "command", joints))
    return sorted(found, key=lambda entry: entry[0])


@dataclass
class Nodes:
    """The input paths of both nodes, fed with the same messages."""

    robot: Contract
    observed: list[tuple[Observation, dict[str, np.ndarray]]] = field(default_factory=list)
    recorded: dict[int, tuple[EpisodeFrame, EpisodeSampler]] = field(default_factory=dict)  # by stamp [ns]

    def __post_init__(self) -> None:
        self._policy, self._recorder = Playback(pytest.fail), Playback(pytest.fail)
        self._sensors = SensorStreams(self._policy, self.robot, SensorSettings(n_obs_steps=2))
        action = ActionSettings(COMMAND, "command", False, parse_mapping((), self.robot.joints, ""))
        self._streams = RecorderStreams(self._recorder, self.robot, action)
        self._decode = FrameDecoder({c.name: (c.height, c.width) for c in self.robot.cameras})
        self._episode: EpisodeSampler | None = None  # a long episode, from the first observation to the end
        self._begun: list[EpisodeSampler] = []  # one per other observation, for its first frame

    def play(self, step_ns: int = 5 * MS) -> None:
        """Deliver all messages; both nodes sample their streams every `step_ns`."""
        remaining: Iterator = iter(messages(self.robot))
        following = next(remaining)
        for tick in range(BEGIN, BEGIN + SECONDS * 1000 * MS, step_ns):
            while following is not None and following[0] <= tick:
                self._receive(*following)
                following = next(remaining, None)
            for playback in (self._policy, self._recorder):
                playback.now_ns = tick
            if tick >= BEGIN + 500 * MS:
                self._sample(tick)

    def _receive(self, received_ns: int, topic: str, message: object) -> None:
        for playback in (self._policy, self._recorder):
            playback.now_ns = received_ns
            for one in playback.inputs:
                if one.topic == topic:
                    one.callback(message)

    def _sample(self, now_ns: int) -> None:
        begin = functools.partial(
            EpisodeSampler, self.robot, self._streams.observations, self._streams.actions, now_ns
        )
        try:
            observation = self._sensors.observations.build(now_ns)
        except StaleObservation:
            with pytest.raises(StaleObservation):  # an episode cannot begin either
                begin()
        else:
            self.observed.append((observation, self._decode(observation)))
            sampler = begin()
            assert sampler.first_stamp_ns == observation.stamp_ns
            if self._episode is None:
                self._episode = sampler
            elif observation.stamp_ns not in self.recorded:
                self._begun.append(sampler)
        while self._episode is not None and (frame := self._episode.poll(now_ns)) is not None:
            self.recorded.setdefault(frame.stamp_ns, (frame, self._episode))
        for sampler in list(self._begun):
            if (frame := sampler.poll(now_ns)) is not None:
                self.recorded.setdefault(frame.stamp_ns, (frame, sampler))
                self._begun.remove(sampler)


@pytest.fixture(scope="module")
def nodes() -> Nodes:
    nodes = Nodes(contract())
    nodes.play()
    return nodes


def images_of(frame: EpisodeFrame, nodes: Nodes) -> dict[str, np.ndarray]:
    """A frame's images as they are recorded, by camera."""
    read = ImageReader(nodes.robot.cameras, ())
    return {name: np.asarray(read(name, message)) for name, message in frame.images.items()}


def assert_same(nodes: Nodes, observation: Observation, images: dict, step: int, stamp_ns: int) -> None:
    """Compare one step of an observation (0: older, 1: newest) with the frame recorded at `stamp_ns`."""
    frame, sampler = nodes.recorded[stamp_ns]
    np.testing.assert_array_equal(frame.state, observation.state[step])
    taken = images_of(frame, nodes)
    for name, pixels in taken.items():
        np.testing.assert_array_equal(pixels, images[name][step])
        assert observation.image_stamps_ns[name][step] in sampler.image_stamps_ns[name]


def test_the_newest_step_of_an_observation_is_the_recorded_frame(nodes: Nodes) -> None:
    compared = set()
    for observation, images in nodes.observed:
        if observation.stamp_ns in nodes.recorded:
            assert_same(nodes, observation, images, 1, observation.stamp_ns)
            compared.add(observation.stamp_ns)
    seen = {observation.stamp_ns for observation, _ in nodes.observed}
    assert len(seen - compared) <= 5  # the last ones: the recorder still waits for messages
    assert len([stamp for stamp in compared if stamp % PERIOD]) > 50  # stamps that are not the top camera's


def test_the_older_step_of_an_observation_is_the_previous_frame(nodes: Nodes) -> None:
    compared = 0
    for observation, images in nodes.observed:
        before = observation.stamp_ns - PERIOD
        if before in nodes.recorded:
            assert_same(nodes, observation, images, 0, before)
            compared += 1
    assert compared > 100


def test_the_messages_included_lost_images(nodes: Nodes) -> None:
    frames = [frame for frame, _ in nodes.recorded.values()]
    assert {name for frame in frames for name in frame.repeated} == {"top", "wrist", "joint_states"}
    images = [images_of(frame, nodes) for frame in frames]
    assert len({image["top"].tobytes() for image in images}) > 100
