# SPDX-License-Identifier: Apache-2.0
"""A bag with faults gives the episodes that the recorder would have recorded, and says what it left out."""

import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from contracts import SMALL_CONTRACT, small_mapping
from episode_sink import Sink
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CompressedImage, Image, Joy
from small_bags import BEGIN, SECOND, messages, write_bag
from std_msgs.msg import String

from dit_policy_ros.core.contract import Contract, parse_contract, parse_mapping
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.ros.bags import Bag, BagConverter, Converted, from_ranges, from_topic
from dit_policy_ros.ros.bags._bag import _times
from dit_policy_ros.ros.bags._segment import Segment
from dit_policy_ros.ros.recorder import ActionSettings
from dit_policy_ros.ros.recorder._parameters import COMMANDED

type Messages = list[tuple[int, str, object]]


def converted(
    path: Path, find, contract: Contract = SMALL_CONTRACT, sink: Sink | None = None
) -> tuple[list[Converted], list[str]]:
    """What becomes of the episodes that `find` finds in a bag, and the reports."""
    reports: list[str] = []
    mapping = parse_mapping((), contract.joints, "")
    converter = BagConverter(contract, ActionSettings(COMMANDED, "", False, mapping), report=reports.append)
    with Bag(path) as bag:
        converter.check_topics(bag)
        return list(converter.convert(bag, find(bag), sink or EpisodeKeeper())), reports


class EpisodeKeeper(Sink):
    """A sink that also keeps the frames of each saved episode."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: list[list[tuple]] = []

    def save_episode(self, label) -> int:
        self.episodes.append(self.frames)
        self.frames = []
        return super().save_episode(label)


def by_topic(bag: Bag) -> list[Segment]:
    return from_topic(bag, "/episode")


def whole(bag: Bag) -> list[Segment]:
    return from_ranges(bag, [(0.0, 3.0, "all of it")])


def mcap(folder: Path, found: Messages) -> Path:
    return write_bag(folder / "bag", StoragePlugin.MCAP, sorted(found, key=lambda entry: entry[0]))


def with_late_images(latency: float) -> Messages:
    """Two episodes back to back, and images that come some time [s] after their stamp."""
    late = round(latency * SECOND)
    found = [
        (received + late if topic.endswith("image_raw") else received, topic, message)
        for received, topic, message in messages(5.0)
        if topic != "/episode"
    ]
    for when, task in ((0.5, "first"), (2.0, "second"), (3.5, "third"), (4.5, "")):
        found.append((BEGIN + round(when * SECOND), "/episode", String(data=task)))
    return found


@pytest.mark.parametrize("latency", [0.001, 0.17, 0.4])
def test_episodes_back_to_back_are_all_converted(tmp_path: Path, latency: float) -> None:
    sink = EpisodeKeeper()
    results, _ = converted(mcap(tmp_path, with_late_images(latency)), by_topic, sink=sink)
    assert [each.problem for each in results] == ["", "", ""]
    assert [each.episode_index for each in results] == [0, 1, 2]
    # An episode begins with the newest image at its beginning, which is older the later images come.
    for result, seconds in zip(results, (1.5, 1.5, 1.0), strict=True):
        assert result.frames == pytest.approx(30 * (seconds + latency), abs=2)
    tasks = [{frame[3] for frame in episode} for episode in sink.episodes]
    assert tasks == [{"first"}, {"second"}, {"third"}]


def test_an_episode_from_the_very_beginning_begins_when_the_streams_are_live(tmp_path: Path) -> None:
    found = [
        entry for entry in messages(3.0) if "trajectory" not in entry[1] or entry[0] > BEGIN + SECOND // 3
    ]
    (result,), _ = converted(mcap(tmp_path, found), whole)
    assert (result.problem, result.episode_index) == ("", 0)
    assert result.frames == pytest.approx(30 * (3.0 - 1 / 3), abs=3)
    assert result.note.startswith("begins 0.3") and "nothing commanded yet" in result.note
    assert "start the teleoperation" not in result.note


def test_an_episode_that_is_never_live_names_the_stream_without_advice_for_a_running_robot(tmp_path) -> None:
    found = [entry for entry in messages(2.0) if entry[1] != "/wrist/image_raw"]
    found.append((BEGIN + 2 * SECOND, "/wrist/image_raw", Image()))
    (result,), _ = converted(mcap(tmp_path, found), lambda bag: from_ranges(bag, [(0.0, 1.9, "a task")]))
    assert result.episode_index == -1
    assert "at no time in it are all streams live: stream 'wrist'" in result.problem
    assert "is its publisher running" not in result.problem


def jpeg_bag(folder: Path, bad: dict[int, bytes]) -> tuple[Path, Contract]:
    """The robot with a compressed camera, some of whose images are replaced."""
    found, number = [], 0
    for received, topic, message in messages(3.0):
        if topic == "/top/image_raw":
            pixels = np.asarray(message.data).reshape(48, 64, 3)
            data = cv2.imencode(".jpg", pixels)[1].tobytes()
            sent = CompressedImage(format="jpeg", data=bad.get(number, data), header=message.header)
            if bad.get(number) == b"half":
                sent.data = data[: len(data) // 2]
            found.append((received, "/top/compressed", sent))
            number += 1
        else:
            found.append((received, topic, message))
    cameras = small_mapping()["cameras"]
    cameras["top"] |= {"topic": "top/compressed", "compressed": True}
    return mcap(folder, found), parse_contract(small_mapping(cameras=cameras), "test")


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("data", [b"half", b"", b"no picture"], ids=["half", "empty", "no picture"])
def test_one_bad_image_costs_one_flag(tmp_path: Path, data: bytes, keep: bool) -> None:
    sink = EpisodeKeeper()
    if keep:
        sink.jpeg_cameras = {"top"}
    path, contract = jpeg_bag(tmp_path, {45: data})
    (result,), _ = converted(path, whole, contract, sink)
    assert (result.problem, result.episode_index) == ("", 0)
    assert result.frames == pytest.approx(90, abs=3)
    flagged = [number for number, frame in enumerate(sink.episodes[0]) if "top" in frame[4]]
    assert len(flagged) == 1 and flagged[0] == pytest.approx(45, abs=2)
    assert any("top: of " in text and "1 could not be used" in text for text in result.check.warnings)
    assert not any("top" in text for text in result.check.reasons)


def test_a_camera_whose_images_stay_bad_ends_the_episode_with_the_reason(tmp_path: Path) -> None:
    path, contract = jpeg_bag(tmp_path, dict.fromkeys(range(45, 90), b"half"))
    (result,), _ = converted(path, whole, contract)
    assert result.episode_index == 0 and not result.check.passed
    assert "the episode ended early" in result.check.reasons[0]
    assert "cannot be used: compressed image" in result.check.reasons[0]


def test_images_of_16_bits_in_any_byte_order_are_pictures(tmp_path: Path) -> None:
    found = []
    for received, topic, message in messages(2.0):
        if topic == "/top/image_raw":
            grey = np.asarray(message.data).reshape(48, 64, 3)[..., 0].astype(">u2") * 257
            wide = Image(
                height=48, width=64, encoding="mono16", step=128, is_bigendian=1, data=grey.tobytes()
            )
            wide.header = message.header
            message = wide
        found.append((received, topic, message))
    (result,), _ = converted(mcap(tmp_path, found), lambda bag: from_ranges(bag, [(0.0, 2.0, "a task")]))
    assert result.problem == "" and result.frames > 50


def write_raw(path: Path, plugin: StoragePlugin, found: Messages, cut: set[int], unknown: bool) -> Path:
    """A bag in which some joint states, by number, are cut, and maybe with a topic of an unknown type."""
    store, number = get_typestore(Stores.LATEST), 0
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for received, topic, message in found:
            if topic not in connections:
                package, _, _ = type(message).__module__.split(".", 2)
                name = f"{package}/msg/{type(message).__name__}"
                connections[topic] = writer.add_connection(topic, name, typestore=store)
            data = serialize_message(message)
            if topic == "/joint_states":
                data = data[:20] if number in cut else data
                number += 1
            writer.write(connections[topic], received, data)
        if unknown:
            described = {"msgdef": "other_msgs/Missing field\n", "rihs01": "RIHS01_0"}
            odd = writer.add_connection("/other", "other_msgs/msg/Unknown", **described)
            writer.write(odd, found[0][0], b"\0\1\0\0")
    return path


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_cut_message_is_left_out_and_counted(tmp_path: Path, plugin: StoragePlugin) -> None:
    path = write_raw(tmp_path / "bag", plugin, messages(3.0), {0, 100, 101}, unknown=True)
    (result,), reports = converted(path, whole)
    assert result.problem == "" and result.frames > 80
    assert any("joint_states: of " in text and "could not be used" in text for text in result.check.warnings)
    assert any("is not whole" in text for text in reports)


def rewrite_encoding(path: Path, encoding: bytes) -> None:
    """Writes another encoding of the definitions into a bag, of the same length."""
    (file,) = (each for each in path.iterdir() if each.suffix in (".mcap", ".db3"))
    content = file.read_bytes()
    assert b"ros2msg" in content and len(encoding) == 7
    file.write_bytes(content.replace(b"ros2msg", encoding))


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_definitions_that_nobody_knows_are_not_needed(tmp_path: Path, plugin: StoragePlugin) -> None:
    path = write_bag(tmp_path / "bag", plugin, messages(1.5))
    rewrite_encoding(path, b"unknown")
    (result,), _ = converted(path, lambda bag: from_ranges(bag, [(0.0, 1.5, "a task")]))
    assert result.problem == "" and result.frames > 35


def damaged(folder: Path, case: str) -> Path:
    path = write_bag(folder / "bag", StoragePlugin.MCAP, messages(0.5))
    file, metadata = path / "bag.mcap", path / "metadata.yaml"
    if case == "no metadata":
        metadata.unlink()
    elif case == "cut metadata":
        metadata.write_text(metadata.read_text()[:20])
    elif case == "NULs":
        metadata.write_bytes(bytes(100))
    elif case == "no storage":
        metadata.write_text(
            metadata.read_text().replace("storage_identifier: mcap", "storage_identifier: ''")
        )
    elif case == "cut file":
        file.write_bytes(file.read_bytes()[:-100])
        return file
    elif case == "compressed":
        return file.rename(file.with_suffix(".mcap.zstd"))
    return path


@pytest.mark.parametrize(
    ("case", "remedy"),
    [
        ("no metadata", r"it has no metadata.yaml.* ros2 bag reindex .*give its file alone: .*bag.mcap"),
        ("cut metadata", r"metadata.yaml is damaged. .*ros2 bag reindex"),
        ("NULs", r"metadata.yaml is damaged. .*ros2 bag reindex"),
        ("no storage", r"ros2 bag reindex .*give its file alone"),
        ("cut file", r"If the recording was cut off: mcap recover"),
        ("compressed", r"it is compressed. .*unzstd"),
    ],
)
def test_what_a_crash_leaves_is_refused_with_a_remedy(tmp_path: Path, case: str, remedy: str) -> None:
    with pytest.raises(DatasetError, match=remedy):
        Bag(damaged(tmp_path, case))


def test_a_file_without_its_metadata_is_read(tmp_path: Path) -> None:
    path = damaged(tmp_path, "no metadata") / "bag.mcap"
    (result,), _ = converted(path, lambda bag: from_ranges(bag, [(0.0, 0.5, "a task")]))
    assert result.problem == ""


def test_partial_commands_fail_the_check_and_flag_the_frames(tmp_path: Path) -> None:
    found = []
    for received, topic, message in messages(3.0):
        if topic == "/arm/joint_trajectory" and received > BEGIN + 1.5 * SECOND:
            message.joint_names = message.joint_names[:1]
            message.points[0].positions = message.points[0].positions[:1]
        found.append((received, topic, message))
    sink = EpisodeKeeper()
    (result,), reports = converted(mcap(tmp_path, found), whole, sink=sink)
    flagged = [number for number, frame in enumerate(sink.episodes[0]) if "action" in frame[4]]
    assert flagged[0] == pytest.approx(45, abs=3) and len(flagged) == pytest.approx(45, abs=4)
    assert any("action: " in text and "no new sample" in text for text in result.check.reasons)
    assert any("arm: of " in text and "Send all joints" in text for text in result.check.reasons)
    assert any("cannot be recorded" in text for text in reports)


def test_a_task_that_the_recorder_would_refuse_leaves_out_its_episode_alone(tmp_path: Path) -> None:
    found = [entry for entry in messages(3.0) if entry[1] != "/episode"]
    for when, task in ((0.5, "x" * 1001), (1.5, "fine"), (2.5, "")):
        found.append((BEGIN + round(when * SECOND), "/episode", String(data=task)))
    first, second = converted(mcap(tmp_path, found), by_topic)[0]
    assert first.episode_index == -1 and "task" in first.problem
    assert (second.episode_index, second.problem) == (0, "")


def test_a_topic_of_two_types_is_refused_with_both(tmp_path: Path) -> None:
    """A driver was restarted with another transport while the bag was being recorded."""
    found = messages(3.0)
    topic, compressed = f"/{SMALL_CONTRACT.cameras[0].topic}", CompressedImage(format="jpeg", data=b"x")
    found.append((BEGIN + SECOND, topic, compressed))
    with pytest.raises(DatasetError) as caught:
        converted(mcap(tmp_path, found), whole)
    text = str(caught.value)
    assert f"{topic} is sensor_msgs/msg/Image and sensor_msgs/msg/CompressedImage, expected" in text
    found.append((BEGIN + SECOND, "/episode", Joy()))
    (tmp_path / "second").mkdir()
    both = r"/episode \(std_msgs/msg/String and sensor_msgs/msg/Joy\)"
    with pytest.raises(DatasetError, match=both), Bag(mcap(tmp_path / "second", found)) as bag:
        by_topic(bag)


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("shift", ["0", "1600000000000000000"])
def test_the_times_are_those_of_the_messages_whatever_the_metadata_say(
    tmp_path: Path, plugin: StoragePlugin, shift: str
) -> None:
    path = write_bag(tmp_path / "bag", plugin, messages(1.5))
    with Bag(path) as bag:
        begin, end = bag.begin_ns, bag.end_ns
    metadata = path / "metadata.yaml"
    text = re.sub(r"(nanoseconds_since_epoch: )\d+", rf"\g<1>{shift}", metadata.read_text())
    text = re.sub(r"(message_count: )\d+", r"\g<1>many", text)
    metadata.write_text(re.sub(r"(nanoseconds: )\d+", r"\g<1>5", text))
    with Bag(path) as bag:
        assert (bag.begin_ns, bag.end_ns) == (begin, end)
        assert bag.count(["/joint_states"]) == 150
    (result,), _ = converted(path, lambda bag: from_ranges(bag, [(0.2, 1.2, "a task")]))
    assert result.problem == "" and result.frames in (30, 31)


def test_without_the_files_own_times_the_metadatas_count() -> None:
    reader = SimpleNamespace(storage=object(), start_time=5, end_time=9, message_count=1)
    assert _times(reader) == (5, 9)
    empty = SimpleNamespace(storage=object(), start_time=7, end_time=7, message_count=0)
    assert _times(empty) == (7, 7)
