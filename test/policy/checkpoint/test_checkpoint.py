# SPDX-License-Identifier: Apache-2.0
"""Checkpoints are written and read without loss; damaged ones are refused with the cause."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_policy import TASKS, random_policy, random_stats, save_tiny, tiny_config, tiny_tokenizer

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import CheckpointFacts, read_checkpoint, relocate, write_checkpoint

NORMALIZER = "policy_preprocessor_step_4_normalizer_processor.safetensors"
UNNORMALIZER = "policy_postprocessor_step_0_unnormalizer_processor.safetensors"


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("checkpoint") / "intact")


@pytest.fixture
def folder(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def hub_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_round_trip_keeps_weights_options_and_facts(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    assert checkpoint.config == tiny_config(drop_n_last_frames=2)
    assert checkpoint.facts == CheckpointFacts(
        fps=30.0, joint_names=tuple("abcde"), action_names=tuple("abcd"), known_tasks=TASKS
    )
    for name, tensor in random_policy(tiny_config()).state_dict().items():
        assert torch.equal(checkpoint.policy.state_dict()[name], tensor), name
    assert not checkpoint.policy.training


def test_reading_does_not_change_the_random_generator(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    read_checkpoint(folder)
    assert torch.equal(torch.randn(4), expected)


def test_weights_of_older_transformers_load(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    nested = {
        name.replace(".vision_encoder.model.", ".vision_encoder.model.vision_model.").replace(
            ".text_encoder.text_encoder.", ".text_encoder.text_encoder.text_model."
        ): tensor
        for name, tensor in tensors.items()
    }
    assert set(nested) != set(tensors)
    nested["observation_encoder.vision_encoder.model.vision_model.embeddings.position_ids"] = torch.arange(5)
    save_file(nested, folder / "model.safetensors")
    policy = read_checkpoint(folder).policy
    assert all(torch.equal(policy.state_dict()[name], tensor) for name, tensor in tensors.items())


def test_replacing_a_checkpoint_leaves_no_temporary_folder(folder: Path) -> None:
    config = tiny_config()
    facts = CheckpointFacts(fps=10.0)
    write_checkpoint(folder, random_policy(config, seed=1), random_stats(config), facts, tiny_tokenizer())
    assert read_checkpoint(folder).facts.fps == 10.0
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_an_interrupted_write_keeps_the_old_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dit_policy_ros.policy.checkpoint._writer.write_encoder_files", fail)
    config = tiny_config()
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(
            folder, random_policy(config, 1), random_stats(config), CheckpointFacts(), tiny_tokenizer()
        )
    assert read_checkpoint(folder).facts.fps == 30.0


def test_relocate_writes_the_path_of_the_folder(folder: Path) -> None:
    relocate(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["vision_encoder_name"] == config["text_encoder_name"] == str(folder / "clip")
    read_checkpoint(folder)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "expected the path of a folder, got an empty string"),
        (
            "nowhere",
            "looked for a folder .*/nowhere with config.json, model.safetensors, .* it does not exist",
        ),
        ("file", "it is a file"),
        (
            "empty",
            "lacks config.json, model.safetensors, policy_preprocessor.json, policy_postprocessor.json$",
        ),
        ("run", r"run/pretrained_model lacks model.safetensors"),
        ("whole_run", r"whole_run/checkpoints/last/pretrained_model lacks model.safetensors"),
    ],
)
def test_a_path_that_is_not_a_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for place in ("run/pretrained_model", "whole_run/checkpoints/last/pretrained_model"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=expected):
        read_checkpoint(path)


@pytest.mark.parametrize("inner", ["", "checkpoints"])
def test_a_run_s_folder_means_its_best_checkpoint_or_its_last(
    tmp_path: Path, folder: Path, inner: str
) -> None:
    run = tmp_path / "run"
    for step in ("001000", "002000"):
        shutil.copytree(folder, run / "checkpoints" / step / "pretrained_model")
    (run / "checkpoints" / "last").symlink_to("002000")
    assert read_checkpoint(run / inner).folder == run / "checkpoints" / "002000" / "pretrained_model"
    (run / "checkpoints" / "best").symlink_to("001000")
    assert read_checkpoint(run / inner).folder == run / "checkpoints" / "001000" / "pretrained_model"
    step = run / "checkpoints" / "002000"
    assert read_checkpoint(step).folder == step / "pretrained_model"


def drop(key: str, file: str = NORMALIZER) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / file
        save_file({k: v for k, v in load_file(path).items() if k != key}, path)

    return act


def change(key: str, value: torch.Tensor) -> Callable[[Path], None]:
    return lambda folder: save_file(load_file(folder / NORMALIZER) | {key: value}, folder / NORMALIZER)


def truncate(file: str) -> Callable[[Path], None]:
    """Truncate a file, as a full disk or an interrupted copy does."""
    return lambda folder: os.truncate(folder / file, (folder / file).stat().st_size * 2 // 3)


def option(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", lambda v: v.update(values))


def tokenizer_with_gaps(folder: Path, special: int = 0) -> None:
    """Leave letters only, with their ids; the ids of the special tokens grow by ``special``."""
    path = folder / "clip" / "tokenizer.json"
    content = json.loads(path.read_text())
    letters = {token: i for token, i in content["model"]["vocab"].items() if token[0].islower()}
    specials = {token["content"]: token["id"] + special for token in content["added_tokens"]}
    content["model"] |= {"vocab": {t: i for t, i in letters.items() if len(t) in (1, 5)} | specials}
    content["model"]["merges"] = []
    for token in content["added_tokens"]:
        token["id"] += special
    path.write_text(json.dumps(content))


def test_a_tokenizer_may_have_far_fewer_tokens_than_ids(folder: Path) -> None:
    tokenizer_with_gaps(folder)
    checkpoint = read_checkpoint(folder)
    tokenizer, vocabulary = checkpoint.encoder_files.tokenizer, checkpoint.encoder_files.text.vocab_size
    assert len(tokenizer.tokenizer) < vocabulary / 2
    assert max(tokenizer.tokenizer.get_vocab().values()) == vocabulary - 1
    ids, _ = tokenizer(["touch a cube"])
    assert ids.max() == vocabulary - 1  # the end of the text


def without_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["noise_predictor.output_proj.bias"]
    tensors["noise_predictor.input_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors | {"extra": torch.zeros(1)}, folder / "model.safetensors")


def unknown_step(folder: Path) -> None:
    step = {"registry_name": "relative_action_processor", "config": {}}
    edit(folder / "policy_preprocessor.json", lambda v: v["steps"].append(step))


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def both_actions(name: str, value: torch.Tensor) -> Callable[[Path], None]:
    """Change a statistic of the action in both pipelines."""

    def act(folder: Path) -> None:
        for file in (NORMALIZER, UNNORMALIZER):
            save_file(load_file(folder / file) | {f"action.{name}": value}, folder / file)

    return act


def weights(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        save_file(tensors | {name: change(tensors[name].clone())}, folder / "model.safetensors")

    return act


def state_file(name: Any) -> Callable[[Path], None]:
    return lambda folder: edit(
        folder / "policy_preprocessor.json", lambda v: v["steps"][4].update(state_file=name)
    )


def encoder(**options: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "clip" / "config.json", lambda v: v["vision_config"].update(options))


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "config is not JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is not readable JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "expected a JSON object, got list"),
    "config is truncated": (truncate("config.json"), "config.json is not readable JSON"),
    "pipeline is truncated": (
        truncate("policy_preprocessor.json"),
        "policy_preprocessor.json is not readable JSON",
    ),
    "another policy": (
        option(type="diffusion"),
        r"type: expected 'multi_task_dit' \(LeRobot's\) or .*, got 'diffusion'",
    ),
    "unknown option": (
        option(num_layer=3),
        "config.json: unknown option 'num_layer'; valid options: .*",
    ),
    "another schedule": (
        option(beta_schedule="cosine"),
        "beta_schedule: expected .*got 'cosine'",
    ),
    "another scaling": (
        option(normalization_mapping={"STATE": "ZSCORE"}),
        "normalization_mapping.STATE: expected 'MIN_MAX' or .* got 'ZSCORE'",
    ),
    "weights are truncated": (truncate("model.safetensors"), "cannot read the weights"),
    "statistics are truncated": (truncate(NORMALIZER), "cannot read the statistics"),
    "statistic of another shape": (
        change("observation.state.max", torch.ones(7)),
        r"observation.state.max: expected shape \(5,\), got \(7,\)",
    ),
    "statistic is not finite": (
        change("observation.state.max", torch.full((5,), torch.inf)),
        "observation.state.max: expected finite numbers",
    ),
    "missing action statistic": (drop("action.max", UNNORMALIZER), "missing: action.max"),
    "missing statistic": (drop("observation.state.min"), "missing: observation.state.min"),
    "missing image statistic": (drop("observation.images.cam0.std"), "missing: observation.images.cam0.std"),
    "statistics are missing": (lambda f: (f / NORMALIZER).unlink(), "cannot read the statistics"),
    "corrupt weights": (
        lambda f: (f / "model.safetensors").write_bytes(b"12345678garbage"),
        "cannot read the weights",
    ),
    "tensors": (
        without_tensor,
        r"missing tensor noise_predictor.output_proj.bias; unknown tensor extra; "
        r"noise_predictor.input_proj.weight: expected shape \(32, 4\), got \(3, 3\)",
    ),
    "unknown step": (unknown_step, "unknown step 'relative_action_processor' at index 5; known steps: "),
    "no tokenizer": (lambda f: (f / "clip" / "tokenizer.json").unlink(), "tokenizer"),
    "an id that the encoder does not know": (
        lambda f: tokenizer_with_gaps(f, special=1),
        r"endoftext\|>' has the id 540, but the text encoder knows the ids 0 to 539",
    ),
    "no encoders, offline": (lambda f: shutil.rmtree(f / "clip"), "clip/config.json, clip/tokenizer.json"),
    "other image size": (
        lambda f: edit(f / "config.json", lambda v: v.update(image_resize_shape=[12, 12])),
        "reaches the vision encoder as 12x12 pixels, but it needs 24x24",
    ),
    "too many tokens": (
        lambda f: edit(
            f / "policy_preprocessor.json", lambda v: v["steps"][2]["config"].update(max_length=77)
        ),
        "max_length: expected at most 16",
    ),
    "facts with a typo": (
        lambda f: edit(f / "dit_policy_ros.json", lambda v: v.update(joints=[])),
        "unknown option 'joints'; valid options: action_names, format, fps, instruction_dropout, joint_names",
    ),
    "too few joint names": (
        lambda f: edit(f / "dit_policy_ros.json", lambda v: v.update(joint_names=["a"])),
        "joint_names: expected 5",
    ),
    "invalid rate": (
        lambda f: edit(f / "dit_policy_ros.json", lambda v: v.update(fps=0)),
        "fps: expected more than 0",
    ),
    "duplicate joints": (
        lambda f: edit(f / "dit_policy_ros.json", lambda v: v.update(joint_names=[*"abade"])),
        "joint_names: expected each joint once, got a twice",
    ),
    "min above max": (
        change("observation.state.min", torch.full((5,), 9.0)),
        r"observation.state.min: expected at most observation.state.max, got 9 at entry 0",
    ),
    "action range upside down": (
        both_actions("min", torch.tensor([0.0, 0.0, 9.0, 0.0])),
        r"action.min: expected at most action.max, got 9 at entry 2$",
    ),
    "infinite range": (
        lambda f: (
            change("observation.state.min", torch.full((5,), -3e38))(f),
            change("observation.state.max", torch.full((5,), 3e38))(f),
        ),
        "observation.state: expected a range of float32",
    ),
    "negative deviation": (
        change("observation.images.cam0.std", torch.full((3, 1, 1), -0.1)),
        "observation.images.cam0.std: expected 0 or more, got -0.1 at entry 0, ",
    ),
    "eps of 0": (
        lambda f: edit(f / "policy_preprocessor.json", lambda v: v["steps"][4]["config"].update(eps=0)),
        "eps: expected more than 0, got 0",
    ),
    "differing statistics": (
        lambda f: save_file(
            load_file(f / NORMALIZER) | {"action.max": load_file(f / NORMALIZER)["action.max"] + 1.0},
            f / NORMALIZER,
        ),
        "scales actions for training otherwise than policy_postprocessor.json scales them back: "
        "with action.max .* at entry 0",
    ),
    "differing modes": (
        lambda f: edit(
            f / "policy_postprocessor.json",
            lambda v: v["steps"][0]["config"]["norm_map"].update(ACTION="MEAN_STD"),
        ),
        "by MIN_MAX and by MEAN_STD",
    ),
    "weights are NaN": (
        weights("noise_predictor.output_proj.bias", lambda t: t.fill_(torch.nan)),
        "expected finite weights, got NaN or infinity in 1 tensors, first noise_predictor.output_proj.bias",
    ),
    "weights are infinite": (
        weights(
            "noise_predictor.output_proj.bias", lambda t: t.index_fill_(0, torch.tensor([1]), -torch.inf)
        ),
        "expected finite weights",
    ),
    "weights in eight bits": (
        weights("noise_predictor.output_proj.bias", lambda t: t.to(torch.float8_e4m3fn)),
        "output_proj.bias: expected one of torch.float32, .*, got torch.float8_e4m3fn",
    ),
    "weights are integers": (
        weights("noise_predictor.output_proj.bias", lambda t: t.to(torch.int32)),
        "got torch.int32",
    ),
    "weights by git-lfs": (
        lambda f: (f / "model.safetensors").write_text(LFS_POINTER),
        "cannot read the weights: .*git lfs pull",
    ),
    "statistics by git-lfs": (lambda f: (f / NORMALIZER).write_text(LFS_POINTER), "git lfs pull"),
    "config by git-lfs": (lambda f: (f / "config.json").write_text(LFS_POINTER), "git lfs pull"),
    "statistics elsewhere": (
        state_file("../../secret.safetensors"),
        "state_file: expected the name of a file",
    ),
    "statistics at the root": (state_file("/etc/passwd"), "state_file: expected the name of a file"),
    "statistics in the parent": (state_file(".."), r"state_file: expected .* got '\.\.'"),
    "statistics by number": (state_file(5), "state_file: expected the name of a file .* got 5"),
    "statistics by list": (state_file(["a"]), "state_file: expected the name of a file"),
    "a step's options as a list": (
        lambda f: edit(f / "policy_preprocessor.json", lambda v: v["steps"][0].update(config=[1])),
        "rename_observations_processor: config: expected an object",
    ),
    "JSON nested deeply": (
        lambda f: (f / "policy_preprocessor.json").write_text('{"a":' * 30_000 + "1" + "}" * 30_000),
        "nested too deeply",
    ),
    "facts nested deeply": (
        lambda f: (f / "dit_policy_ros.json").write_text("[" * 100_000),
        "dit_policy_ros.json is not readable JSON: it is nested too deeply",
    ),
    "encoder without width": (encoder(hidden_size=0), "hidden_size: expected a whole number of 1 to 65536"),
    "encoder without end": (encoder(num_hidden_layers=10**9), "num_hidden_layers: expected a whole"),
    "encoder with 3 heads": (
        encoder(num_attention_heads=3),
        "attention heads|num_attention_heads",
    ),
    "encoder with another activation": (encoder(hidden_act="swishy"), "no network can be built|swishy"),
    "encoder that is a text": (
        lambda f: edit(f / "clip" / "config.json", lambda v: v.update(vision_config="large")),
        "cannot load the vision encoder's config.json",
    ),
    "later format": (
        lambda f: edit(f / "dit_policy_ros.json", lambda v: v.update(format=9)),
        "format: expected 1",
    ),
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_checkpoint_is_refused(folder: Path, damage: Callable[[Path], Any], expected: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=expected) as raised:
        read_checkpoint(folder)
    assert str(folder) in str(raised.value)
