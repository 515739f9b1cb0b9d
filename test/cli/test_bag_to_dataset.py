# SPDX-License-Identifier: Apache-2.0
"""A bag gives the dataset that the recorder would have written, whatever its storage and its boundaries."""

from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from contracts import SMALL_CONTRACT, SMALL_MAPPING
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.cli.bag_to_dataset import main
from dit_policy_ros.core.episode_sampler import EpisodeSampler
from dit_policy_ros.data.episode_records import read_records
from dit_policy_ros.data.writer import DatasetWriter
from dit_policy_ros.ros.convert import image_to_rgb, to_stamp
from dit_policy_ros.ros.playback import Playback
from dit_policy_ros.ros.recorder_parameters import COMMANDED, ActionSettings
from dit_policy_ros.ros.recorder_streams import RecorderStreams

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite": StoragePlugin.SQLITE3}


def messages(seconds: float = 6.0) -> list[tuple[int, str, object]]:
    """What a robot published: (received [ns], topic, message); a camera is silent for a while."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(int(seconds * 30)):
        stamp = BEGIN + number * SECOND // 30
        for camera in SMALL_CONTRACT.cameras:
            if camera.name == "wrist" and 100 <= number < 104:
                continue
            shape = (camera.height, camera.width, 3)
            pixels = np.full(shape, 20 + number % 200, np.uint8) + rng.integers(0, 9, shape, dtype=np.uint8)
            image = Image(
                height=shape[0], width=shape[1], encoding="rgb8", step=3 * shape[1], data=pixels.tobytes()
            )
            image.header.stamp = to_stamp(stamp)
            found.append((stamp + 20_000_000 + int(rng.integers(5_000_000)), f"/{camera.topic}", image))
    for number in range(int(seconds * 100)):
        stamp = BEGIN + number * SECOND // 100
        t = number / 100
        position = dict(zip(SMALL_CONTRACT.joints, (t / 5, t / 200, -t / 5), strict=True))
        joints = JointState(name=list(position), position=list(position.values()))
        joints.header.stamp = to_stamp(stamp)
        found.append((stamp + 1_000_000, "/joint_states", joints))
        if number % 5 == 0:
            for controller in SMALL_CONTRACT.controllers:
                point = JointTrajectoryPoint(positions=[position[name] + 0.002 for name in controller.joints])
                point.time_from_start.nanosec = 50_000_000
                command = JointTrajectory(joint_names=list(controller.joints), points=[point])
                found.append((stamp + 2_000_000, f"/{controller.topic}", command))
    for when, task in ((1.0, "first"), (3.0, ""), (3.5, "second"), (5.0, "")):
        found.append((BEGIN + round(when * SECOND), "/episode", String(data=task)))
    return sorted(found, key=lambda entry: entry[0])


def write_bag(path: Path, plugin: StoragePlugin, found: list[tuple[int, str, object]]) -> Path:
    store = get_typestore(Stores.LATEST)
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for received, topic, message in found:
            if topic not in connections:
                kind = type(message)
                name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
                connections[topic] = writer.add_connection(topic, name, typestore=store)
            writer.write(connections[topic], received, serialize_message(message))
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "robot.yaml"
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": SMALL_MAPPING}}))
    return path


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "bag", StoragePlugin.MCAP, messages())


def load(root: Path):
    from lerobot.datasets import LeRobotDataset

    return LeRobotDataset("local/test", root=root, video_backend="pyav")


def record_live(root: Path, begin_ns: int, end_ns: int) -> None:
    """The same messages through the recorder's streams, sampler and writer, polled at 60 Hz."""
    from dit_policy_ros.core.joint_mapping import parse_mapping

    playback = Playback(print)
    mapping = parse_mapping((), SMALL_CONTRACT.joints, "")
    streams = RecorderStreams(playback, SMALL_CONTRACT, ActionSettings(COMMANDED, "", False, mapping))
    callbacks = {f"/{one.topic}": one.callback for one in playback.inputs}
    contract = SMALL_CONTRACT
    writer = DatasetWriter(root, contract.fps, contract.cameras, contract.joints, contract.robot_type)
    sampler, frames, tick = None, 0, begin_ns
    wanted = None
    for received, topic, message in messages():
        if sampler is None and received >= begin_ns:
            playback.now_ns = begin_ns
            sampler = EpisodeSampler(contract, streams.observations, streams.actions, begin_ns)
            wanted = round((end_ns - sampler.first_stamp_ns) / SECOND * contract.fps)
        while sampler is not None and tick < received and frames < wanted:
            playback.now_ns = tick
            while frames < wanted and (frame := sampler.poll(tick)) is not None:
                images = {
                    c.name: image_to_rgb(frame.images[c.name], c.height, c.width) for c in contract.cameras
                }
                writer.add_frame(images, frame.state, frame.action, "first", frame.stamp_ns, frame.repeated)
                frames += 1
            tick += SECOND // 60
        playback.now_ns = received
        if topic in callbacks:
            callbacks[topic](message)
    writer.save_episode()
    writer.finalize()


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_equals_a_live_recording(config: Path, tmp_path, storage: str) -> None:
    path = write_bag(tmp_path / "bag", STORAGES[storage], messages())
    assert (
        main([str(path), "--config", str(config), "--dataset", str(tmp_path / "set"), "--topic", "/episode"])
        == 0
    )
    record_live(tmp_path / "live", BEGIN + SECOND, BEGIN + 3 * SECOND)
    converted, live = load(tmp_path / "set"), load(tmp_path / "live")
    assert converted.num_episodes == 2
    length = live.num_frames
    assert length >= 59
    assert int(converted.meta.episodes["length"][0]) == length
    for row in range(length):
        one, other = converted[row], live[row]
        assert one["task"] == "first"
        for name in (
            "observation.state",
            "action",
            "timestamp",
            *(f"observation.images.{c}" for c in ("top", "wrist")),
        ):
            np.testing.assert_array_equal(one[name], other[name])
    assert converted[length]["task"] == "second"
    records = read_records(tmp_path / "set")
    live_record = read_records(tmp_path / "live")[0]
    assert records[0].recorded_ns == live_record.recorded_ns
    assert (records[0].repeated, live_record.repeated) == ({}, {})
    assert records[1].repeated == {}


def test_ranges_give_episodes_too_and_silence_is_flagged(config: Path, bag: Path, tmp_path, capsys) -> None:
    arguments = [str(bag), "--config", str(config), "--dataset", str(tmp_path / "set")]
    ranges = ["--episode", "2.5", "5", "push", "--episode", "0.5", "1.5", "pull"]
    assert main([*arguments, *ranges]) == 0
    dataset = load(tmp_path / "set")
    assert [dataset[0]["task"], dataset[dataset.num_frames - 1]["task"]] == ["pull", "push"]
    records = read_records(tmp_path / "set")
    ((first, last),) = records[1].repeated["wrist"]
    assert last - first == 3
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "episode 1: 'push', 76 frames; FAILED the check:" in printed
    assert "wrist: 4 of 76 frames repeat" in printed
    assert records[1].figures["bag"] == bag.name


def test_a_second_run_adds_only_what_is_missing(config: Path, bag: Path, tmp_path, capsys) -> None:
    arguments = [str(bag), "--config", str(config), "--dataset", str(tmp_path / "set")]
    assert main([*arguments, "--episode", "0.5", "1.5", "pull"]) == 0
    assert main([*arguments, "--episode", "0.5", "1.5", "pull", "--episode", "2", "3", "push"]) == 0
    assert "1 of 2 episodes are there already" in capsys.readouterr().out
    assert load(tmp_path / "set").num_episodes == 2


MISTAKES = {
    "no bag": (["nowhere", "--topic", "/episode"], ["bag nowhere cannot be read"]),
    "no such topic": (
        ["BAG", "--topic", "/takes"],
        ["expected /takes (std_msgs/msg/String); it has: /arm/joint"],
    ),
    "no service events": (
        ["BAG", "--service-events", "/recorder"],
        ["/recorder/start_episode/_service_event"],
    ),
    "another namespace": (
        ["BAG", "--topic", "/episode", "--namespace", "cell_2"],
        ["/cell_2/top/image_raw (sensor_msgs/msg/Image) is not in it", "/cell_2/joint_states"],
    ),
    "overlap": (["BAG", "--episode", "1", "3", "a", "--episode", "2", "4", "b"], ["overlaps the one before"]),
    "reversed": (["BAG", "--episode", "3", "1", "a"], ["expected 0 <= begin < end <= 6.0 s"]),
    "no seconds": (["BAG", "--episode", "x", "1", "a"], ["expected seconds"]),
    "no task": (["BAG", "--episode", "1", "2", " "], ["task: expected an instruction"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_explained_and_leave_nothing(
    config: Path, bag: Path, tmp_path, capsys, case: str
) -> None:
    arguments, fragments = MISTAKES[case]
    arguments = [str(bag) if argument == "BAG" else argument for argument in arguments]
    assert main([*arguments, "--config", str(config), "--dataset", str(tmp_path / "set")]) == 2
    printed = capsys.readouterr().err
    for fragment in fragments:
        assert fragment in printed
    assert not (tmp_path / "set").exists()


def test_an_episode_without_samples_is_left_out(config: Path, bag: Path, tmp_path, capsys) -> None:
    arguments = [str(bag), "--config", str(config), "--dataset", str(tmp_path / "set")]
    assert main([*arguments, "--episode", "0", "0.005", "too early", "--episode", "1", "2", "fine"]) == 1
    assert "left out: 'too early'" in capsys.readouterr().out
    assert load(tmp_path / "set").num_episodes == 1
