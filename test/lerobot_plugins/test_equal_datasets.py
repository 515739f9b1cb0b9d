# SPDX-License-Identifier: Apache-2.0
"""Whole datasets from one stream of messages: LeRobot's record loop through the plugins, and our recorder."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.datasets import LeRobotDataset
from lerobot.processor import make_default_processors
from lerobot.robots.utils import make_robot_from_config
from lerobot.scripts import lerobot_record
from lerobot.teleoperators.utils import make_teleoperator_from_config
from lerobot.utils.feature_utils import hw_to_dataset_features
from sensor_msgs.msg import Image, JointState
from small_contract import small_contract, write_small_contract
from small_robot import HEIGHT, JOINTS, TASKS, WIDTH

from dit_policy_ros.core.recording import EpisodeSampler, LeaderActions
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter, EpisodeOutcome
from dit_policy_ros.ros.common import JointStateConverter
from dit_policy_ros.ros.recorder._frame_recorder import FrameRecorder
from lerobot_robot_dit_policy_ros import DitPolicyRosRobotConfig
from lerobot_teleoperator_dit_policy_ros import DitPolicyRosTeleoperatorConfig

T0_NS = 1_790_000_000_000_000_000
MS = 1_000_000
PERIOD_NS = round(1e9 / 30)
FRAMES = 24
TICK_AFTER = 12 * MS  # [ns] after an image's stamp LeRobot's loop looks; the image has come by then


def stream() -> list[tuple[int, int, str, Any]]:
    """(arrival [ns], stamp [ns], source, message): joints at 100 Hz, leader and camera at 30 Hz."""
    rng, found = np.random.default_rng(0), []
    for index in range(round((FRAMES + 8) * 100 / 30)):
        at = T0_NS - 100 * MS + index * 10 * MS
        values = 0.02 + 0.2 * np.sin(0.03 * index + np.arange(4)) ** 2
        found.append((at + MS, at, "joints", JointState(name=list(JOINTS), position=values.tolist())))
    for index in range(-2, FRAMES + 4):
        image_ns = T0_NS + round(index * 1e9 / 30)
        pixels = np.full((HEIGHT, WIDTH, 3), 7 * (index + 2), np.uint8)
        pixels[: HEIGHT // 2] += rng.integers(0, 20, (HEIGHT // 2, WIDTH, 3), dtype=np.uint8)
        image = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=pixels.tobytes())
        found.append((image_ns + 8 * MS, image_ns, "top", image))
        leader = [0.3 * np.sin(0.2 * index), 0.01, -0.1, 0.02]
        found.append(
            (image_ns - 4 * MS, image_ns - 5 * MS, "leader", JointState(name=list(JOINTS), position=leader))
        )
    return sorted(found, key=lambda each: each[0])


class Kept(DatasetWriter):
    """Our writer, which also keeps the images before they are encoded."""

    images: list[np.ndarray]

    def add_frame(self, images, *arguments: Any, **named: Any) -> None:
        self.images = [*getattr(self, "images", []), images["top"].copy()]
        super().add_frame(images, *arguments, **named)


def record_ours(folder: Path) -> Kept:
    """The recorder's own sampler, frame recorder and writer."""
    contract = small_contract()
    builder, leader = ObservationBuilder(contract), LeaderActions(contract, "leader", 10.0)
    writer = Kept(folder, DatasetSpec(contract.fps, contract.cameras, contract.joints, "small"))
    frames, sampler = FrameRecorder(writer, contract.cameras, builder.images), None
    convert = JointStateConverter(contract.joints)
    for arrival, stamp, source, message in stream():
        if source == "top":
            builder.images["top"].push(stamp, message, arrival)
        else:
            target = builder.joints if source == "joints" else leader.stream
            target.push(stamp, convert(message), arrival)
        if sampler is None and arrival >= T0_NS + TICK_AFTER:
            sampler = EpisodeSampler(contract, builder, leader, arrival)
        while sampler and frames.frames < FRAMES and (frame := sampler.poll(arrival)) is not None:
            frames.add(frame, TASKS[0])
    writer.save_episode(EpisodeOutcome(success=True))
    writer.finalize()
    return writer


def record_by_lerobot(folder: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> LeRobotDataset:
    """LeRobot's record loop with our robot and teleoperator. Its pauses let the messages arrive."""
    robot = make_robot_from_config(DitPolicyRosRobotConfig(contract=config, calibration_dir=folder.parent))
    teleop = make_teleoperator_from_config(
        DitPolicyRosTeleoperatorConfig(contract=config, calibration_dir=folder.parent)
    )
    contract = robot.contract
    builder, now, messages = ObservationBuilder(contract), SimpleNamespace(nanoseconds=0), stream()
    clock = SimpleNamespace(now=lambda: now)
    robot.robot._node = SimpleNamespace(
        sensors=SimpleNamespace(observations=builder),
        get_clock=lambda: clock,
        newest_ns=None,
        command=lambda pose: None,
    )
    robot.robot._motion = SimpleNamespace(check=lambda: None, alive=True)
    reader = teleop.reader
    reader._node = SimpleNamespace(get_clock=lambda: clock)
    convert, of_leader = JointStateConverter(contract.joints), reader._of_joints()

    def arrive(until_ns: int) -> None:
        while messages and messages[0][0] <= until_ns:
            now.nanoseconds, stamp, source, message = messages.pop(0)
            if source == "top":
                builder.images["top"].push(stamp, message, now.nanoseconds)
            elif source == "joints":
                builder.joints.push(stamp, convert(message), now.nanoseconds)
            else:
                reader._receive(reader._node, reader._stream, of_leader, message)
        now.nanoseconds = until_ns

    events = {"exit_early": False}
    ticks = iter([T0_NS + TICK_AFTER + round(index * 1e9 / 30) for index in range(1, FRAMES)])

    def sleep(_: float) -> None:
        tick = next(ticks, None)
        events["exit_early"] = tick is None
        if tick is not None:
            arrive(tick)

    monkeypatch.setattr(lerobot_record, "precise_sleep", sleep)
    features = {
        **hw_to_dataset_features(robot.action_features, "action", use_video=False),
        **hw_to_dataset_features(robot.observation_features, "observation", use_video=False),
    }
    dataset = LeRobotDataset.create(
        "local/theirs", 30, features, root=folder, robot_type=robot.name, use_videos=False
    )
    arrive(T0_NS + TICK_AFTER)
    processors = make_default_processors()
    lerobot_record.record_loop(
        robot, events, 30, *processors, dataset=dataset, teleop=teleop, control_time_s=10**6,
        single_task=TASKS[0],
    )  # fmt: skip
    dataset.save_episode()
    dataset.finalize()
    return LeRobotDataset("local/theirs", root=folder)


def column(dataset: LeRobotDataset, key: str) -> np.ndarray:
    return torch.stack([dataset[index][key] for index in range(dataset.num_frames)]).numpy()


def test_states_actions_and_images_are_equal(tmp_path: Path, monkeypatch, record_property):
    config = write_small_contract(tmp_path / "robot.yaml", {})
    kept = record_ours(tmp_path / "ours")
    theirs = record_by_lerobot(tmp_path / "theirs", config, monkeypatch)
    ours = LeRobotDataset("local/ours", root=tmp_path / "ours")
    assert ours.num_frames == theirs.num_frames == FRAMES
    assert ours.fps == theirs.fps and ours[0]["task"] == theirs[0]["task"] == TASKS[0]
    assert [f"{name}.pos" for name in ours.features["action"]["names"]] == theirs.features["action"]["names"]
    for key in ("observation.state", "action", "timestamp"):
        expected, got = column(ours, key), column(theirs, key)
        assert np.ptp(expected) > 0.1, "constants prove nothing"
        record_property(f"parity: {key} through LeRobot's record loop", float(np.abs(expected - got).max()))
        np.testing.assert_array_equal(got, expected)
    pixels = np.rint(column(theirs, "observation.images.top") * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(pixels, np.stack(kept.images))
    assert len(np.unique(pixels.mean(axis=(1, 2, 3)))) == FRAMES, "every frame has an image of its own"
    # Our dataset has a video of them, which loses a little.
    decoded = np.rint(column(ours, "observation.images.top") * 255).transpose(0, 2, 3, 1)
    assert np.abs(decoded - pixels).mean() < 8.0
