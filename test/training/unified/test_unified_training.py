# SPDX-License-Identifier: Apache-2.0
"""Two robots in one training: what a batch holds, what is written, and what each robot gets of it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("lerobot", reason="lerobot is not installed")

from tiny_dataset import write_tiny_dataset
from tiny_policy import IMAGE, TASKS

from dit_policy_ros.cli.checkpoints import export_robot as command
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.processing import Stats
from dit_policy_ros.policy.unified import export_robot, read_robots
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.publishing._model_card import model_card
from dit_policy_ros.training.reading import Sources
from dit_policy_ros.training.trainer import (
    RunFolder,
    TrainObserver,
    make_accelerator,
    make_unified_trainer,
    train_policy,
)
from dit_policy_ros.training.unified import UnifiedBatchMaker, unified_policy
from dit_policy_ros.training.unified._data import all_demonstrations

LEFT = ("left_joint_1", "left_joint_2", "left_gripper")
RIGHT = ("right_gripper", "elbow", "right_joint_1", "left_gripper")
OPTIONS: dict[str, Any] = {
    "unified_actions": True,
    "slots": {"elbow": "right_arm_joint_3"},
    "steps": 2, "batch_size": 6, "checkpoint_every": 2, "validate_every": 2, "validation": 0.4,
    "device": "cpu", "warmup_steps": 1,
    "policy": {"hidden_dim": 32, "num_layers": 1, "num_heads": 2, "image_resize_shape": [36, 36],
               "image_crop_shape": None, "num_inference_steps": 2, "horizon": 8, "n_action_steps": 4},
}  # fmt: skip


class Lines(TrainObserver):
    def __init__(self) -> None:
        self.robots: tuple[str, ...] = ()

    def on_robots(self, lines: Sequence[str]) -> None:
        self.robots = tuple(lines)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    root = tmp_path_factory.mktemp("data")
    folders = (
        write_tiny_dataset(root / "left", 4, joints=LEFT),
        write_tiny_dataset(root / "right", 6, seed=1, joints=RIGHT),
    )
    return TrainConfig(dataset=tuple(map(str, folders)), **OPTIONS)


def batch_maker(config: TrainConfig, output: Path) -> UnifiedBatchMaker:
    sources = Sources(config, None, output, make_accelerator(config), TrainObserver())
    robots, slots = sources.read_robots()
    torch.manual_seed(0)
    initial = unified_policy(config, robots, slots)
    trainer = make_unified_trainer(config, robots, initial, sources.accelerator)
    assert isinstance(trainer.batches, UnifiedBatchMaker)
    return trainer.batches


@pytest.mark.parametrize("relative", [False, True])
def test_a_batch_has_each_robots_entries_in_its_slots_and_0_elsewhere(
    config: TrainConfig, tmp_path: Path, relative: bool
) -> None:
    batches = batch_maker(dataclasses.replace(config, relative_actions=relative), tmp_path)
    slots = batches.config.unified_slots
    assert slots == (
        "left_arm_joint_1", "left_arm_joint_2", "right_arm_joint_1", "right_arm_joint_3",
        "left_gripper", "right_gripper",
    )  # fmt: skip
    first = len(batches.robots[0].data.state)
    frames = np.array([first + 5, 3, first + 20, 17])
    raw = batches.read(frames)
    assert raw.has_entry is not None and raw.images is not None
    for row, frame in enumerate(frames):
        number = int(frame >= first)
        robot, maker = batches.robots[number], batches.makers[number]
        own = maker.read(np.array([frame - number * first]))
        assert own.images is not None
        torch.testing.assert_close(raw.action[row][:, list(robot.layout.action)], own.action[0])
        torch.testing.assert_close(raw.state[row][:, list(robot.layout.state)], own.state[0])
        assert torch.equal(raw.images[row], own.images[0]) and torch.equal(raw.is_pad[row], own.is_pad[0])
        has = torch.zeros(len(slots), dtype=torch.bool)
        has[list(robot.layout.action)] = True
        assert torch.equal(raw.has_entry[row], has)
        assert torch.equal(raw.state[row, :, len(slots) :], has.float().expand(2, -1)), (
            "which entries there are"
        )
        assert not raw.action[row][:, ~has].any() and not raw.state[row, :, : len(slots)][:, ~has].any()
        name, _, index = batches.data.locate(int(frame))
        assert name.endswith(("left", "right")[number]) and index == frame - number * first
    assert [batches.data.tasks[each] for each in raw.task] == [
        robot.data.tasks[robot.data.task_index[frame - number * first]]
        for number, robot, frame in ((int(f >= first), batches.robots[int(f >= first)], f) for f in frames)
    ]
    for robot in batches.robots:  # a range is each robot's own
        assert robot.config.normalization_mapping["STATE"].value == "MIN_MAX"
    spans = [maker.stats["observation.state"]["max"] for maker in batches.makers]
    assert spans[0].shape != spans[1].shape


def test_corrections_of_each_robot_are_known(config: TrainConfig, tmp_path: Path) -> None:
    """--intervention-weight draws them more often."""
    left, right = batch_maker(config, tmp_path).robots
    marks = np.arange(len(right.data.state)) % 3 == 0
    right = dataclasses.replace(right, data=dataclasses.replace(right.data, corrected=marks))
    corrected = all_demonstrations([left, right]).corrected
    assert corrected is not None
    assert not corrected[: len(left.data.state)].any()
    assert np.array_equal(corrected[len(left.data.state) :], marks)


@pytest.mark.slow
def test_a_run_of_two_robots_is_exported_to_each(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    observer = Lines()
    output = tmp_path / "run"
    result = train_policy(config, RunFolder(output), make_accelerator(config), observer)
    assert result.checkpoint is not None and result.scores is not None
    assert np.isfinite(result.scores.action_error)
    assert any("elbow = right_arm_joint_3" in line for line in observer.robots)
    folder = result.checkpoint / "pretrained_model"
    unified, robots = read_checkpoint(folder), read_robots(folder)
    assert [robot.name for robot in robots] == ["left", "right"]

    assert "export_robot owner/both --robot NAME" in model_card(folder, "owner/both")
    with pytest.raises(TrainingError, match="several robots; export it to one of them first"):
        again = TrainConfig(dataset=config.dataset[:1], init=str(folder), device="cpu")
        train_policy(again, RunFolder(tmp_path / "again"), make_accelerator(again), TrainObserver())

    assert command.main([str(folder)]) == 0
    assert "right: right_gripper = right_gripper, elbow = right_arm_joint_3" in capsys.readouterr().out
    assert command.main([str(folder), "--robot", "right", "--output", str(tmp_path / "right")]) == 0
    exported = tmp_path / "right"
    policy = load_policy(exported)
    assert policy.joint_names == RIGHT and policy.fps == 30.0
    config_of_robot = read_checkpoint(exported).config
    assert config_of_robot.image_features["observation.images.cam0"].shape == (3, *IMAGE)

    # The same observation and noise: through the exported policy, and through the network of both robots.
    rng = np.random.default_rng(0)
    images = {"cam0": rng.integers(0, 256, (2, *IMAGE, 3), dtype=np.uint8)}
    state = rng.uniform(-0.5, 0.5, (2, len(RIGHT))).astype(np.float32)
    noise = rng.normal(size=(8, len(RIGHT))).astype(np.float32)
    got = policy.predict(images, state, TASKS[0], noise=noise)
    expected = through_the_unified_network(unified, robots[1], images["cam0"], state, noise)
    np.testing.assert_allclose(got, expected[-len(got) :], atol=1e-4)


def through_the_unified_network(
    unified: Any, robot: Any, pixels: np.ndarray, state: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """The robot's chunk (8, A) in its units, by its statistics."""
    from dit_policy_ros.policy.config import NormalizationMode
    from dit_policy_ros.policy.dit_policy import Batch
    from dit_policy_ros.policy.processing import make_normalizer

    stats: Stats = robot.stats
    scales = {
        key: make_normalizer(key, feature, NormalizationMode(mode), stats[key], 1e-8, "test")
        for key, feature, mode in (
            ("observation.state", robot.config.input_features["observation.state"], "MIN_MAX"),
            ("action", robot.config.output_features["action"], "MIN_MAX"),
            ("observation.images.cam0", robot.config.input_features["observation.images.cam0"], "MEAN_STD"),
        )
    }
    slots = unified.config.unified_slots
    layout, count = robot.layout(slots), len(slots)
    values = torch.zeros(1, 2, 2 * count)
    values[..., list(layout.state)] = scales["observation.state"].normalize(torch.from_numpy(state))[None]
    values[..., [count + slot for slot in layout.state]] = 1.0
    start = torch.zeros(1, 8, count)
    start[..., list(layout.action)] = torch.from_numpy(noise)[None]
    has_entry = torch.zeros(1, count, dtype=torch.bool)
    has_entry[:, list(layout.action)] = True
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    normalized = scales["observation.images.cam0"].normalize(image)[None, :, None]  # (1, S, 1, 3, H, W)
    tokens = unified.encoder_files.tokenizer([TASKS[0]])
    pooled = unified.policy.observation_encoder.text_encoder.pool(*tokens)
    batch = Batch(values, pooled, start, images=normalized)
    with torch.no_grad():
        chunk = unified.policy.sample(unified.policy.encode(batch), start, has_entry=has_entry)
    return scales["action"].unnormalize(chunk[0][:, list(layout.action)]).numpy()


@pytest.mark.slow  # two more runs
@pytest.mark.parametrize("options", [{"stream": True, "workers": 1}, {"vision_lr_multiplier": 0.0}])
def test_images_come_from_the_videos_or_are_features(
    config: TrainConfig, tmp_path: Path, options: dict[str, Any]
) -> None:
    chosen = dataclasses.replace(config, **options)
    result = train_policy(chosen, RunFolder(tmp_path / "run"), make_accelerator(chosen), TrainObserver())
    assert result.is_finished and result.checkpoint is not None
    folder = export_robot(result.checkpoint / "pretrained_model", "left", tmp_path / "left")
    assert load_policy(folder).joint_names == LEFT


def test_entries_that_a_robot_lacks_do_not_count_either_if_the_vision_encoder_is_frozen(
    config: TrainConfig, tmp_path: Path
) -> None:
    frozen = dataclasses.replace(config, vision_lr_multiplier=0.0, augmentation=0.5)  # encoded at each step
    sources = Sources(frozen, None, tmp_path, make_accelerator(frozen), TrainObserver())
    robots, slots = sources.read_robots()
    initial = unified_policy(frozen, robots, slots)
    trainer = make_unified_trainer(frozen, robots, initial, sources.accelerator)
    batch = trainer.batches.batch(np.array([3, 5]))
    assert batch.images is not None and batch.has_entry is not None and not batch.has_entry.all()
    encoded = trainer._encode_images(batch)
    assert encoded.images is None and encoded.image_features is not None
    assert encoded.has_entry is batch.has_entry


def test_a_small_network_of_several_robots_learns_the_words_of_the_wordings(
    config: TrainConfig, tmp_path: Path
) -> None:
    sources = Sources(config, None, tmp_path, make_accelerator(config), TrainObserver())
    robots, slots = sources.read_robots()
    said = "xylophone quartz zebra"
    lengths = [
        len(unified_policy(config, robots, slots, wordings).tokenizer.tokenizer(said)["input_ids"])
        for wordings in ({}, {TASKS[0]: (TASKS[0], said)})
    ]
    assert lengths[1] < lengths[0], "whole words, not letters"
