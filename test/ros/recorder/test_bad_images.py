# SPDX-License-Identifier: Apache-2.0
"""One image that cannot be used is left out, counted and flagged; the episode goes on."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from episode_sink import TASK, Sampler, Sink, frame, image, make_writer, start
from sensor_msgs.msg import CompressedImage

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording import CheckThresholds, EpisodeFrame
from dit_policy_ros.core.sensing import StreamBuffer, StreamSettings
from dit_policy_ros.ros.recorder._frame_recorder import FrameRecorder, ImageReader

CAMERA = Camera("top", "top", 48, 64, 0.5, compressed=True)


def jpeg(level: int, height: int = 48, width: int = 64) -> CompressedImage:
    noise = np.random.default_rng(level).integers(0, 9, (height, width, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", np.uint8(level) + noise)[1].tobytes()
    return CompressedImage(format="jpeg", data=data)


def cut(message: CompressedImage) -> CompressedImage:
    data = bytes(message.data)
    return CompressedImage(format="jpeg", data=data[: len(data) // 2])


BAD = {
    "cut": cut(jpeg(90)),
    "empty": CompressedImage(format="jpeg"),
    "noise": CompressedImage(format="jpeg", data=b"no picture"),
    "another shape": jpeg(90, 48, 48),
}
BAD_JPEG = BAD | {
    "PNG": CompressedImage(
        format="png", data=cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    ),
    "another size": jpeg(90, 96, 128),
}
CASES = [(False, name) for name in BAD] + [(True, name) for name in BAD_JPEG]


def recorder_of(messages: list, keep: bool) -> tuple[FrameRecorder, Sink, StreamBuffer, list]:
    """A recorder of one camera, whose stream holds these messages, and the frames that show them."""
    sink, stream = Sink(), StreamBuffer(StreamSettings("top", 0.5, 100))
    if keep:
        sink.jpeg_cameras = {"top"}
    frames = []
    for number, message in enumerate(messages):
        stream.push(number, message, number)
        frames.append(EpisodeFrame(number, {"top": message}, np.zeros(3), np.zeros(3)))
    return FrameRecorder(sink, [CAMERA], {"top": stream}), sink, stream, frames


def same(kept: object, message: CompressedImage) -> bool:
    if isinstance(kept, bytes):
        return kept == bytes(message.data)
    return np.array_equal(kept, ImageReader([CAMERA], ())("top", message))


@pytest.mark.parametrize(("keep", "case"), CASES)
def test_the_image_before_takes_the_place_of_a_bad_one(keep: bool, case: str) -> None:
    good = [jpeg(10), jpeg(50)]
    recorder, sink, stream, frames = recorder_of([good[0], BAD_JPEG[case], good[1]], keep)
    for each in frames:
        recorder.add(each, TASK)
    images = [entry[0]["top"] for entry in sink.frames]
    assert isinstance(images[0], bytes) is keep
    assert [same(images[0], good[0]), same(images[1], good[0]), same(images[2], good[1])] == [True] * 3
    assert [entry[4] for entry in sink.frames] == [(), ("top",), ()], "the frame is flagged"
    assert recorder.refused == {"top": [1]} and recorder.refusal.startswith("top: ")
    assert (stream.counters.refused, stream.counters.accepted, len(stream)) == (1, 2, 2)
    assert stream.is_suspect, "the next image is decoded when it arrives"


@pytest.mark.parametrize("keep", [False, True])
def test_at_the_beginning_the_nearest_good_image_is_taken(keep: bool) -> None:
    messages = [BAD["cut"], jpeg(10), BAD["noise"]]
    recorder, sink, stream, frames = recorder_of(messages, keep)
    recorder.add(frames[0], TASK)
    assert same(sink.frames[0][0]["top"], messages[1]) and sink.frames[0][4] == ("top",)
    assert stream.counters.refused == 2


def test_without_any_good_image_nothing_is_recorded() -> None:
    recorder, sink, stream, frames = recorder_of([BAD["cut"], BAD["empty"]], False)
    with pytest.raises(StreamError, match="cannot be decoded"):
        recorder.add(frames[0], TASK)
    assert not sink.frames and len(stream) == 0


def test_a_frame_that_is_flagged_already_is_flagged_once() -> None:
    recorder, sink, _, (first, second) = recorder_of([jpeg(10), BAD["cut"]], False)
    recorder.add(first, TASK)
    for number in range(2):  # the sampler repeats the bad message
        repeated = ("top", "joint_states") if number else ()
        recorder.add(EpisodeFrame(number, second.images, second.state, second.action, repeated), TASK)
    assert [entry[4] for entry in sink.frames] == [(), ("top",), ("top", "joint_states")]
    assert recorder.refused == {"top": [1]}


def with_bad_images(bad: set[int]) -> tuple[list, list]:
    """Reasons and warnings of an episode of 40 frames in which these images cannot be used."""
    sink = Sink()
    writer = make_writer(sink)
    sampler = Sampler()
    recording = start(sampler, writer)
    writer.begin()
    try:
        for number in range(40):
            taken = frame(number)
            taken.images["top"] = image(64 if number in bad else 48, 64)
            sampler.trace.add(taken.stamp_ns, taken.state, taken.action, [taken.stamp_ns] * 2, ())
            while not writer.put(taken, TASK):
                pass
        recording.ended = writer.end()
        check = recording.check(CheckThresholds())
        report = recording.report(0, True, check)
        assert (report.frames, report.missing_frames[0], writer.failure) == (40, len(bad), None)
        return list(check.reasons), list(check.warnings)
    finally:
        writer.close()


def test_one_bad_image_is_a_warning_and_many_fail_the_check() -> None:
    missing = "top: {} of 40 frames had no new sample"
    _, warnings = with_bad_images({7})
    assert any(missing.format(1) in text for text in warnings)
    reasons, _ = with_bad_images(set(range(5, 40, 6)))
    assert any(missing.format(6) in text for text in reasons)
