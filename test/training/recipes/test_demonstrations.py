# SPDX-License-Identifier: Apache-2.0
"""A policy from demonstrations alone: its stages, and each option by itself."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_dataset import write_tiny_dataset
from tiny_policy import TASKS

from dit_policy_ros.cli import train as cli
from dit_policy_ros.cli.train_options.demonstrations import read_options
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.training.batches import _image_features
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import DataShape, new_policy_config
from dit_policy_ros.training.recipes import (
    DemonstrationsConfig,
    _demonstrations,
    _demonstrations_start,
    run_demonstrations,
)
from dit_policy_ros.training.trainer import RunFolder

JOINTS = ("a", "b", "c", "gripper")


def config(tmp_path: Path, **options: Any) -> DemonstrationsConfig:
    return DemonstrationsConfig(
        dataset=(str(tmp_path / "data"),),
        output=tmp_path / "run",
        work=tmp_path / "work",
        network="small",
        pretext_steps=2,
        pretext_frames=12,
        steps=1,
        device="cpu",
        threads=1,
        **options,
    )


@pytest.mark.slow
def test_the_recipe_reads_datasets_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_dataset(tmp_path / "data", episodes=4, length=12, joints=JOINTS)
    words = tmp_path / "words.yaml"
    words.write_text(
        "templates: [{match: 'touch the {c} cube with the {s} arm', say: ['tap {c}, {s} hand']}]"
    )
    arguments = ["--recipe", "demonstrations", "--dataset", str(tmp_path / "data"), "--network", "small"]
    arguments += ["--output", str(tmp_path / "run"), "--work", str(tmp_path / "work"), "--device", "cpu"]
    arguments += ["--pretext", "coming", "--pretext-steps", "2", "--pretext-frames", "12", "--steps", "1"]
    arguments += [
        "--augmentation",
        "0.5",
        "--paraphrases",
        str(words),
        "--trained-delay",
        "4",
        "--threads",
        "1",
    ]
    assert cli.main(arguments) == 0
    start = read_checkpoint(tmp_path / "work" / "start")
    assert start.facts.training["pretext"] == "coming" and start.facts.training["pretext_error"] > 0
    policy = load_policy(tmp_path / "run", real_time_chunking=True)
    assert policy.checkpoint.config.trained_delay == 4 and policy.checkpoint.config.relative_entries == (
        0,
        1,
        2,
    )
    familiar = policy.familiarity("tap red, left hand")
    assert familiar is not None and familiar.meant == "touch the red cube with the left arm"
    vision = [
        each.policy.observation_encoder.vision_encoder.state_dict()  # type: ignore[union-attr]  # it has a camera
        for each in (start, policy.checkpoint)
    ]
    assert all(np.array_equal(tensor, vision[1][name]) for name, tensor in vision[0].items()), "it is frozen"
    assert cli.main([*arguments[:-6], "--steps", "2", "--threads", "1"]) == 0, "a second call resumes"
    options = json.loads(
        (tmp_path / "run" / "checkpoints" / "last" / "pretrained_model" / "dit_policy_ros.json").read_text()
    )
    assert options["training"]["step"] == 2 and options["training"]["options"]["paraphrases"] == "words.yaml"


def test_the_first_stage_is_skipped_if_its_result_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[DemonstrationsConfig] = []
    runs: list[TrainConfig] = []

    def make(config: DemonstrationsConfig) -> None:
        made.append(config)
        config.initial_checkpoint.mkdir(parents=True)

    def train(options: TrainConfig, folder: RunFolder, resume: bool) -> int:
        runs.append(options)
        return 0

    monkeypatch.setattr(_demonstrations, "make_initial_checkpoint", make)
    for balanced in (True, False):  # the first stage does not depend on it
        assert run_demonstrations(dataclasses.replace(config(tmp_path), balance_tasks=balanced), train) == 0
    assert len(made) == 1 and [run.balance_tasks for run in runs] == [True, False]
    assert runs[0].init == str(tmp_path / "work" / "start") and not runs[0].policy
    assert runs[0].vision_lr_multiplier == 0.0 and runs[0].drop_idle == 0.1


def test_a_first_stage_of_other_options_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        _demonstrations,
        "make_initial_checkpoint",
        lambda config: config.initial_checkpoint.mkdir(parents=True),
    )
    first = config(tmp_path)
    assert run_demonstrations(first, lambda options, folder, resume: 0) == 0
    for name, value in (
        ("dataset", (str(tmp_path / "other"),)),
        ("pretext", "joints"),
        ("network", "pretrained"),
        ("trained_delay", 3),
        ("relative_actions", False),
        ("seed", 1),
    ):
        changed = dataclasses.replace(first, output=tmp_path / "second", **{name: value})
        with pytest.raises(
            TrainingError, match=rf"(?s)work was made with other options.*--{name.replace('_', '-')}"
        ):
            run_demonstrations(changed, lambda options, folder, resume: 0)
    made = json.loads((tmp_path / "work" / "recipe.json").read_text())
    del made["gripper_scale"]
    (tmp_path / "work" / "recipe.json").write_text(json.dumps(made))
    again = dataclasses.replace(first, output=tmp_path / "older")
    assert run_demonstrations(again, lambda *_: 0) == 0, "an earlier version had no such option"
    with pytest.raises(TrainingError, match=r"--gripper-scale: expected 1\.0, got 10\.0"):
        run_demonstrations(dataclasses.replace(again, gripper_scale=10.0), lambda *_: 0)
    (tmp_path / "work" / "recipe.json").write_text("{")
    with pytest.raises(TrainingError, match="work was made with options that are not known"):
        run_demonstrations(dataclasses.replace(first, output=tmp_path / "third"), lambda *_: 0)
    (tmp_path / "work" / "recipe.json").unlink()
    assert run_demonstrations(dataclasses.replace(first, output=tmp_path / "third"), lambda *_: 0) == 0
    assert "work was made by an earlier version" in caplog.text


def test_a_resumed_run_refuses_other_options_and_keeps_those_that_are_not_given(tmp_path: Path) -> None:
    first = config(tmp_path, trained_delay=4, paraphrases="words.yaml", frame_store="one")
    resumed = list[tuple[bool, str]]()
    folder = RunFolder(first.output)
    _demonstrations._write_options(first, first.output)
    folder.begin(TrainConfig(dataset=first.dataset, steps=1, device="cpu", frame_store="one"))

    def train(options: TrainConfig, folder: RunFolder, resume: bool) -> int:
        resumed.append((resume, options.frame_store))
        return 0

    again = config(tmp_path)
    assert run_demonstrations(dataclasses.replace(again, steps=9), train) == 0 and resumed == [(True, "one")]
    assert run_demonstrations(dataclasses.replace(again, frame_store="other"), train) == 0
    assert resumed[-1] == (True, "other"), "a folder of this machine"
    for name, value in (
        ("trained_delay", 7), ("seed", 3), ("dataset", ("elsewhere",)), ("example_stride", 2),
    ):  # fmt: skip
        with pytest.raises(
            TrainingError, match=rf"(?s)run was made with other options.*--{name.replace('_', '-')}"
        ):
            run_demonstrations(dataclasses.replace(again, **{name: value}), train)


def test_the_statistics_of_the_first_stage_are_those_of_motion_without_pauses(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "data", episodes=4, length=12, joints=JOINTS)
    options = config(tmp_path)
    seen: list[Any] = []
    real = _demonstrations_start.BatchMaker

    def maker(*arguments: Any) -> Any:
        seen.append(arguments[-1].drop_idle)
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_demonstrations_start, "BatchMaker", maker)
        _demonstrations_start.make_initial_checkpoint(options)
    assert seen == [options.train_config().drop_idle] == [0.1]
    assert read_checkpoint(options.initial_checkpoint).facts.known_tasks == (), "it has learned none"


@pytest.mark.parametrize("network", ["small", "pretrained"])
@pytest.mark.parametrize("conditioning", ["adaln", "cross_attention", "joint"])
@pytest.mark.parametrize("objective", ["diffusion", "flow_matching"])
def test_every_choice_makes_a_valid_network(
    tmp_path: Path, network: Any, conditioning: Any, objective: Any
) -> None:
    chosen = dataclasses.replace(
        config(tmp_path), network=network, conditioning=conditioning, objective=objective, trained_delay=5
    )
    sizes = {"observation.images.cam0": (480, 640)}
    shape = DataShape(30.0, 4, 4, JOINTS, JOINTS, sizes)
    made: PolicyConfig = new_policy_config(chosen.train_config(), shape)
    assert (made.conditioning, made.objective, made.trained_delay) == (conditioning, objective, 5)
    assert made.relative_entries == (0, 1, 2) and made.sampling_steps == 10
    assert (made.text_encoder_family == "sentence") is (network == "pretrained")
    assert (made.image_pooling == "attention") is (network == "pretrained" and conditioning == "adaln")
    assert (made.vision_stride == 8) is (made.image_blur == 1.5) is (made.image_pooling == "attention")


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"network": "pretrained"}, "intent"),
        ({"network": "pretrained", "conditioning": "joint"}, "none"),
        ({"network": "pretrained", "policy": {"observation_layers": 0}}, "none"),
        ({"network": "pretrained", "pretext": "coming"}, "coming"),
        ({}, "none"),
        ({"pretext": "intent"}, "intent"),
    ],
    ids=str,
)
def test_a_network_that_can_see_learns_the_intent_first(
    tmp_path: Path, options: dict[str, Any], first: str
) -> None:
    chosen = dataclasses.replace(config(tmp_path), **options)
    assert chosen.taught_first == first


def test_one_instruction_alone_has_nothing_to_ask_for(tmp_path: Path) -> None:
    chosen = dataclasses.replace(config(tmp_path), network="pretrained")
    alone = chosen.for_instructions(1)
    assert (alone.taught_first, alone.policy_options()["image_pooling"]) == ("none", "grid")
    cameras = {"observation.images.cam0": (480, 640)}
    for each, seen, vector, cells in (
        (chosen, cameras, "attention", 8),
        (alone, cameras, "grid", 16),
        (dataclasses.replace(chosen, policy={"vision_stride": 4}).for_instructions(1), cameras, "grid", 4),
        (chosen.for_instructions(1, has_cameras=False), {}, "mean", 0),
    ):
        made = new_policy_config(each.train_config(), DataShape(30.0, 4, 4, JOINTS, JOINTS, seen))
        assert (made.image_pooling, made.vision_stride) == (vector, cells)
    given = dataclasses.replace(chosen, pretext="intent", policy={"image_pooling": "attention"})
    assert given.for_instructions(1) == given, "what was asked for is what runs"
    for options in ({"network": "small"}, {"conditioning": "joint"}):
        other = dataclasses.replace(chosen, **options)
        assert other.for_instructions(1) == other


def test_for_several_instructions_cameras_have_heads_of_their_own_and_a_wide_mlp_reads_them(
    tmp_path: Path,
) -> None:
    chosen = dataclasses.replace(config(tmp_path), network="pretrained")
    cameras = {"observation.images.cam0": (480, 640)}
    shape = DataShape(30.0, 4, 4, JOINTS, JOINTS, cameras)
    made = new_policy_config(chosen.for_instructions(2).train_config(), shape)
    assert made.heads_per_camera and made.fused_dim == made.observation_width == 384
    asked = dataclasses.replace(chosen, policy={"observation_width": 0, "heads_per_camera": False})
    made = new_policy_config(asked.for_instructions(2).train_config(), shape)
    assert not made.heads_per_camera and made.fused_dim == made.hidden_dim, "what was asked for is what runs"
    for options in (
        {"network": "small"},
        {"conditioning": "joint"},
        {"policy": {"image_pooling": "grid"}},
        {"policy": {"observation_layers": 0}},
    ):
        other = dataclasses.replace(chosen, **options)
        assert other.for_instructions(2) == other, options
    assert chosen.for_instructions(2, has_cameras=False) == chosen


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"pretext": "intent", "frame_store": "features"}, sys.maxsize),
        ({"pretext": "intent"}, 12_000),
        ({"pretext": "joints", "frame_store": "features"}, 4_000),
        ({"pretext": "intent", "pretext_frames": 7}, 7),
    ],
    ids=str,
)
def test_the_intent_learns_from_all_frames_where_their_features_are_kept(
    tmp_path: Path, options: dict[str, Any], most: int
) -> None:
    chosen = dataclasses.replace(config(tmp_path), **({"pretext_frames": 0} | options))
    assert chosen.most_pretext_frames == most


@pytest.mark.parametrize("pretext", ["intent", "none"])
def test_the_first_stage_teaches_the_intent_and_the_run_keeps_it(tmp_path: Path, pretext: Any) -> None:
    write_tiny_dataset(tmp_path / "data", episodes=4, length=12, joints=JOINTS)
    options, runs = config(tmp_path, pretext=pretext), list[TrainConfig]()
    run_demonstrations(options, lambda started, folder, resume: runs.append(started) or 0)
    facts = read_checkpoint(options.initial_checkpoint).facts
    assert facts.training["pretext"] == pretext and facts.known_tasks == ()
    assert ("pretext_error" in facts.training) is (pretext == "intent")
    assert runs[0].observation_lr_multiplier == (0.1 if pretext == "intent" else 1.0)


def test_options_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--pretext intent: expected --conditioning adaln"):
        config(tmp_path, pretext="intent", conditioning="joint")
    with pytest.raises(TrainingError, match="--augmentation: expected --vision-lr-multiplier above 0"):
        config(tmp_path, augmentation=0.5, pretext="intent")
    with pytest.raises(TrainingError, match="--augmentation: expected --vision-lr-multiplier above 0"):
        config(tmp_path, augmentation=0.5)
    for name, least in (("pretext_steps", 1), ("pretext_frames", 0)):
        expected = f"--{name.replace('_', '-')}: expected at least {least}, got {least - 1}"
        with pytest.raises(TrainingError, match=expected):
            dataclasses.replace(config(tmp_path), **{name: least - 1})
    with pytest.raises(TrainingError, match="expected --dataset FOLDER, got none"):
        DemonstrationsConfig()


def test_the_command_line_has_the_options_of_the_recipe(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "data", episodes=1, length=4)
    given = [
        "--no-relative-actions",
        "--no-balance-tasks",
        "--seed",
        "3",
        "--policy",
        "vision_stride=8",
        "horizon=20",
    ]
    options = read_options(["--dataset", str(tmp_path / "data"), *given])
    policy = {"vision_stride": 8, "horizon": 20}
    assert options == DemonstrationsConfig(
        dataset=(str(tmp_path / "data"),),
        relative_actions=False,
        balance_tasks=False,
        seed=3,
        policy=policy,
    )
    assert options.train_config().policy.items() >= policy.items()
    assert TASKS


@pytest.mark.slow
def test_both_stages_and_another_run_use_the_same_kept_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled, fill = list[int](), _image_features._Encoding.fill

    def counted(self: Any, features: Any, report: Any) -> None:
        filled.append(len(features))
        fill(self, features, report)

    monkeypatch.setattr(_image_features._Encoding, "fill", counted)
    write_tiny_dataset(tmp_path / "data", episodes=4, length=12, joints=JOINTS)
    arguments = ["--recipe", "demonstrations", "--dataset", str(tmp_path / "data"), "--network", "small"]
    arguments += ["--pretext", "intent", "--pretext-steps", "2", "--pretext-frames", "12", "--steps", "1"]
    arguments += ["--frame-store", str(tmp_path / "store"), "--example-stride", "3", "--device", "cpu"]
    for name in ("one", "other"):
        place = ["--output", str(tmp_path / name / "run"), "--work", str(tmp_path / name / "work")]
        assert cli.main([*arguments, *place]) == 0
        assert load_policy(tmp_path / name / "run").checkpoint.facts.training["step"] == 1
    assert filled == [4 * 7], "of each episode: four newest frames, and the ones before three of them"
