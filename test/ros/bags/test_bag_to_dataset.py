# SPDX-License-Identifier: Apache-2.0
"""A converted bag equals the dataset that the recorder would have written, for every storage and boundary."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import yaml
from mostly_slow import mostly_slow

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from contracts import SMALL_CONTRACT, SMALL_MAPPING
from rosbags.rosbag2 import StoragePlugin
from service_msgs.msg import ServiceEventInfo
from small_bags import BEGIN, SECOND, messages, write_bag
from std_srvs.srv import Trigger

from dit_policy_ros.cli.bag_to_dataset import main
from dit_policy_ros.core.recording import EpisodeSampler
from dit_policy_ros.data.dataset import DatasetSpec, read_records
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.evaluation.bags import read_recorder_settings
from dit_policy_ros.ros.bags._playback import Playback
from dit_policy_ros.ros.common import image_to_rgb
from dit_policy_ros.ros.recorder import ActionSettings, RecorderStreams
from dit_policy_ros.ros.recorder._parameters import COMMANDED
from dit_policy_ros.srv import SetTask, StartEpisode, StopEpisode

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite": StoragePlugin.SQLITE3}


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
    from dit_policy_ros.core.contract import parse_mapping

    playback = Playback(print)
    mapping = parse_mapping((), SMALL_CONTRACT.joints, "")
    streams = RecorderStreams(playback, SMALL_CONTRACT, ActionSettings(COMMANDED, "", False, mapping))
    callbacks = {f"/{one.topic}": one.callback for one in playback.inputs}
    contract = SMALL_CONTRACT
    writer = DatasetWriter(root, DatasetSpec.from_contract(contract))
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


@pytest.mark.parametrize("storage", mostly_slow(STORAGES, 1))
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


def test_time_ranges_give_episodes_with_flagged_frames(config: Path, bag: Path, tmp_path, capsys) -> None:
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
    assert "wrist: 4 of 76 frames had no new sample" in printed
    assert records[1].figures["bag"] == bag.name


def test_an_episode_that_only_the_bags_end_ends_fails_its_check(config: Path, tmp_path, capsys) -> None:
    found = [each for each in messages() if each[1] != "/episode" or each[0] < BEGIN + 5 * SECOND]
    bag = write_bag(tmp_path / "cut", StoragePlugin.MCAP, found)
    arguments = ["--config", str(config), "--dataset", str(tmp_path / "set")]
    assert main([str(bag), *arguments, "--topic", "/episode"]) == 0
    first, second = read_records(tmp_path / "set").values()
    assert first.passed and not second.passed
    assert second.reasons[0].startswith("the episode ended early, at frame ")
    assert "the bag ends before an empty text or another instruction on /episode ends it" in second.reasons[0]
    assert "FAILED the check" in " ".join(capsys.readouterr().out.split())


def test_a_second_run_adds_only_missing_episodes(config: Path, bag: Path, tmp_path, capsys) -> None:
    arguments = [str(bag), "--config", str(config), "--dataset", str(tmp_path / "set")]
    assert main([*arguments, "--episode", "0.5", "1.5", "pull"]) == 0
    assert main([*arguments, "--episode", "0.5", "1.5", "pull", "--episode", "2", "3", "push"]) == 0
    assert "1 of 2 episodes are in the dataset already" in capsys.readouterr().out
    assert load(tmp_path / "set").num_episodes == 2


class Calls:
    """The service events that the recorder publishes."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str, object]] = []

    def add(self, when: float, name: str, kind, success: bool = True, **request) -> None:
        """A call at a time [s], answered 10 ms later."""
        number = len(self.found)
        for delay, event_type in (
            (0, ServiceEventInfo.REQUEST_RECEIVED),
            (10, ServiceEventInfo.RESPONSE_SENT),
        ):
            event = kind.Event()
            event.info.event_type, event.info.sequence_number = event_type, number
            if delay:
                event.response = [kind.Response(success=success)]
            else:
                event.request = [kind.Request(**request)]
            received = BEGIN + round(when * SECOND) + delay * 1_000_000
            self.found.append((received, f"/recorder/{name}/_service_event", event))


def recorded_session() -> list[tuple[int, str, object]]:
    """The robot's messages, and the events of an operator who makes every kind of call."""
    calls = Calls()
    calls.add(0.5, "start_episode", StartEpisode, success=False, task="too early")
    calls.add(1.0, "start_episode", StartEpisode, task="first")
    calls.add(1.5, "start_episode", StartEpisode, success=False, task="one is running")
    calls.add(2.0, "set_task", SetTask, task="renamed")
    calls.add(2.2, "set_task", SetTask, success=False, task=" ")
    calls.add(2.5, "stop_episode", StopEpisode, success=False, save=True)  # the disk was full
    calls.add(2.8, "stop_episode", StopEpisode, save=True, success_label=False)
    calls.add(3.0, "start_episode", StartEpisode, task="not wanted")
    calls.add(3.2, "stop_episode", StopEpisode, save=False)
    calls.add(3.4, "start_episode", StartEpisode, task="")
    calls.add(4.0, "rerecord", Trigger)
    calls.add(5.0, "stop_episode", StopEpisode, save=True, success_label=True)
    calls.add(5.2, "start_episode", StartEpisode, task="never ended")
    return sorted(messages() + calls.found, key=lambda entry: entry[0])


@pytest.mark.parametrize("storage", mostly_slow(STORAGES, 1))
def test_service_events_give_the_episodes_that_the_operator_recorded(tmp_path, storage: str) -> None:
    path = write_bag(tmp_path / "bag", STORAGES[storage], recorded_session())
    if storage == "sqlite":
        change_definitions(path, "DELETE FROM message_definitions WHERE topic_type LIKE '%_Event'")
    config = tmp_path / "robot.yaml"
    recorder = {"ros__parameters": {"task": "by default"}}
    config.write_text(yaml.safe_dump({"/**": {"ros__parameters": SMALL_MAPPING}, "/recorder": recorder}))
    arguments = [str(path), "--config", str(config), "--dataset", str(tmp_path / "set")]
    assert main([*arguments, "--service-events", "/recorder"]) == 0
    dataset = load(tmp_path / "set")
    records = read_records(tmp_path / "set")
    assert [records[index].success for index in range(dataset.num_episodes)] == [False, True]
    seconds = [(records[index].recorded_ns - BEGIN) / SECOND for index in range(2)]
    # The first frame has the newest images at the time of the answer, as in the recorder.
    assert all(0.0 < answered - begun < 0.08 for answered, begun in zip((1.01, 4.01), seconds, strict=True))
    first, second = dataset.meta.episodes["length"][:]
    assert seconds[0] + first / 30 == pytest.approx(2.5, abs=0.035)
    assert seconds[1] + second / 30 == pytest.approx(5.0, abs=0.035)
    tasks = [dataset[row]["task"] for row in range(dataset.num_frames)]
    renamed = tasks.index("renamed")
    assert 0.0 <= seconds[0] + renamed / 30 - 2.0 < 1 / 30
    assert tasks == ["first"] * renamed + ["renamed"] * (first - renamed) + ["by default"] * second


def change_definitions(bag: Path, statement: str) -> None:
    """Changes the message definitions that a bag stores."""
    (database,) = bag.glob("*.db3")
    with sqlite3.connect(database) as connection:
        assert connection.execute(statement).rowcount > 0


def test_service_events_need_a_task_and_a_saved_episode(config: Path, tmp_path, capsys) -> None:
    calls = Calls()
    calls.add(1.0, "start_episode", StartEpisode, task="in vain")
    calls.add(2.0, "stop_episode", StopEpisode, save=False)
    bag = write_bag(tmp_path / "discarded", StoragePlugin.MCAP, messages(3.0) + calls.found)
    arguments = ["--config", str(config), "--dataset", str(tmp_path / "set"), "--service-events", "/recorder"]
    assert main([str(bag), *arguments]) == 1
    assert "no episode begins on /recorder/start_episode/_service_event" in capsys.readouterr().err
    calls.add(2.2, "start_episode", StartEpisode, task="")
    calls.add(2.8, "stop_episode", StopEpisode, save=True)
    bag = write_bag(tmp_path / "nameless", StoragePlugin.MCAP, messages(3.0) + calls.found)
    assert main([str(bag), *arguments]) == 1
    assert "an episode began without an instruction" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


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
    "no namespace": (["BAG", "--topic", "/episode", "--namespace", "a b"], ["--namespace: ", "a b"]),
    "overlap": (
        ["BAG", "--episode", "1", "3", "a", "--episode", "2", "4", "b"],
        ["overlaps the previous"],
    ),
    "reversed": (["BAG", "--episode", "3", "1", "a"], ["expected 0 <= begin < end <= 6.0 s"]),
    "no seconds": (["BAG", "--episode", "x", "1", "a"], ["expected seconds"]),
    "no task": (["BAG", "--episode", "1", "2", " "], ["task: expected an instruction"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_explained_and_create_no_dataset(
    config: Path, bag: Path, tmp_path, capsys, case: str
) -> None:
    arguments, fragments = MISTAKES[case]
    arguments = [str(bag) if argument == "BAG" else argument for argument in arguments]
    assert main([*arguments, "--config", str(config), "--dataset", str(tmp_path / "set")]) == 1
    printed = capsys.readouterr().err
    for fragment in fragments:
        assert fragment in printed
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("section", ["/recorder", "/cell_2/recorder", "/**/recorder"])
def test_the_recorders_section_of_the_namespace_counts(
    ros_domain, config: Path, tmp_path: Path, section: str
) -> None:
    content = {"/**": yaml.safe_load(config.read_text())["/**"]}
    content[section] = {"ros__parameters": {"reset_time": 3.0}}
    file = tmp_path / "cell.yaml"
    file.write_text(yaml.safe_dump(content))
    settings = read_recorder_settings(file, ros_domain.context, "cell_2")
    assert settings.parameters["reset_time"] == 3.0


def test_an_episode_without_samples_is_skipped(config: Path, bag: Path, tmp_path, capsys) -> None:
    arguments = [str(bag), "--config", str(config), "--dataset", str(tmp_path / "set")]
    assert main([*arguments, "--episode", "0", "0.005", "too early", "--episode", "1", "2", "fine"]) == 1
    assert "left out: 'too early'" in capsys.readouterr().out
    assert load(tmp_path / "set").num_episodes == 1
