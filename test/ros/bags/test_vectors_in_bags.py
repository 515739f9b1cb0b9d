# SPDX-License-Identifier: Apache-2.0
"""Further vectors of a bag become features by the recorder's own streams, or the reason names the key."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from contracts import SMALL_CONTRACT, small_mapping
from geometry_msgs.msg import WrenchStamped
from rosbags.rosbag2 import StoragePlugin
from sensor_msgs.msg import JointState
from small_bags import BEGIN, SECOND, messages, write_bag
from std_msgs.msg import Float64MultiArray

from dit_policy_ros.cli.bag_to_dataset import main
from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.data.video import read_columns
from dit_policy_ros.ros.common import to_stamp

VECTORS: dict[str, Any] = {
    "names": ["effort", "wrench", "touch"],
    "effort": {
        "type": "sensor_msgs/msg/JointState", "topic": "joint_states", "field": "effort", "max_age": 0.2,
    },
    "wrench": {
        "type": "geometry_msgs/msg/WrenchStamped", "topic": "wrench", "max_age": 0.2, "entries": ["force.z"],
    },
    "touch": {"type": "std_msgs/msg/Float64MultiArray", "topic": "touch", "size": 2, "max_age": 0.2},
}  # fmt: skip
TRANSPORT = 3_000_000  # [ns] from a sample to its receipt


def load(root: Path):
    from lerobot.datasets import LeRobotDataset

    return LeRobotDataset("local/test", root=root, video_backend="pyav")


def with_vectors(cells: int = 2) -> list[tuple[int, str, object]]:
    """The bag's messages with efforts of ten times the position, and a force and touches that follow time."""
    found = messages()
    for _, _, message in found:
        if isinstance(message, JointState):
            message.effort = [10.0 * position for position in message.position]
    for number in range(300):
        stamp = BEGIN + number * SECOND // 50
        force = WrenchStamped()
        force.header.stamp = to_stamp(stamp)
        force.wrench.force.z = number / 50
        touch = Float64MultiArray(data=[-number / 50] * cells)
        found += [(stamp + TRANSPORT, "/wrench", force), (stamp + TRANSPORT, "/touch", touch)]
    return sorted(found, key=lambda entry: entry[0])


def convert(folder: Path, found: list, vectors: dict[str, Any] = VECTORS) -> int:
    bag = write_bag(folder / "bag", StoragePlugin.MCAP, found)
    config = folder / "robot.yaml"
    config.write_text(yaml.safe_dump({"/**": {"ros__parameters": small_mapping(vectors=vectors)}}))
    arguments = ["--config", str(config), "--dataset", str(folder / "set")]
    return main([str(bag), *arguments, "--episode", "2", "3", "push"])


def test_vectors_are_recorded_at_the_time_of_their_frame(tmp_path: Path) -> None:
    assert convert(tmp_path, with_vectors()) == 0
    dataset = load(tmp_path / "set")
    assert dataset.features["observation.effort"]["names"] == list(SMALL_CONTRACT.joints)
    assert dataset.features["observation.wrench"]["names"] == ["force.z"]
    keys = ["observation.state", "observation.effort", "observation.wrench", "observation.touch"]
    columns = read_columns(dataset.meta, keys)
    state = np.stack(columns["observation.state"])
    np.testing.assert_allclose(columns["observation.effort"], 10 * state, atol=1e-5)
    seconds = 5 * state[:, 0]  # the shoulder moves by 0.2 rad/s
    np.testing.assert_allclose(np.ravel(columns["observation.wrench"]), seconds, atol=1e-4)
    received = seconds - TRANSPORT / SECOND  # an array counts as measured when it is received
    np.testing.assert_allclose(columns["observation.touch"], -np.stack([received] * 2, axis=1), atol=1e-4)
    assert not {"effort", "wrench", "touch"} & set(read_records(tmp_path / "set")[0].repeated)


def test_frames_without_a_new_sample_are_flagged(tmp_path: Path) -> None:
    gap = (BEGIN + int(2.3 * SECOND), BEGIN + int(2.5 * SECOND))
    found = [each for each in with_vectors() if not (each[1] == "/wrench" and gap[0] <= each[0] < gap[1])]
    assert convert(tmp_path, found) == 0
    record = read_records(tmp_path / "set")[0]
    assert list(record.repeated) == ["wrench"]
    assert not record.passed
    assert any("wrench: " in reason for reason in record.reasons)


def test_a_few_bad_messages_are_dropped_and_said(tmp_path: Path, capsys) -> None:
    found = with_vectors()
    touches = [message for _, topic, message in found if topic == "/touch"]
    for bad in touches[105:145:20]:  # after 2.1 s and 2.5 s
        bad.data = [float("nan"), 0.0]
    touches[116].data = [0.0]
    assert convert(tmp_path, found) == 0
    record = read_records(tmp_path / "set")[0]
    assert record.passed
    said = " ".join(capsys.readouterr().out.split())
    assert "values that are not finite: touch_0 = nan" in said
    assert "the array has 1 values, expected 2" in said
    touches = read_columns(load(tmp_path / "set").meta, ["observation.touch"])["observation.touch"]
    assert np.isfinite(touches).all()


def test_an_array_of_another_size_ends_the_conversion_with_the_key(tmp_path: Path, capsys) -> None:
    assert convert(tmp_path, with_vectors(cells=3)) != 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "the array has 3 values, expected 2. Set 'vectors.touch.size' to 3" in printed
    assert "messages that cannot be used" in printed


def test_a_topic_that_is_not_in_the_bag_is_named(tmp_path: Path, capsys) -> None:
    found = [each for each in with_vectors() if each[1] != "/wrench"]
    assert convert(tmp_path, found) != 0
    said = capsys.readouterr()
    assert "/wrench (geometry_msgs/msg/WrenchStamped) is not in it" in said.err + said.out
