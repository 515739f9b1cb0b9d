# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a LeRobot checkpoint or an option is said, and nothing of it is loaded."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_lerobot import FPS, JOINTS, TASKS, TYPES, edit_json, edit_steps, random_observation, save_tiny

from dit_policy_ros.core.errors import CheckpointError, StreamError, TaskError
from dit_policy_ros.policy import load_policy

Saved = Callable[[str], Path]
NORMALIZER = "normalizer_processor"


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_policy(folder, **options)
    return str(caught.value)


def edit_config(folder: Path, **options: Any) -> None:
    edit_json(folder / "config.json", lambda config: config.update(options))


def edit_tensors(folder: Path, pattern: str, change: Callable[[dict[str, Any]], None]) -> None:
    (path,) = folder.glob(pattern)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


# Types


def test_an_unknown_type_lists_what_is_installed(copied: Saved) -> None:
    folder = copied("act")
    edit_config(folder, type="pick_and_hope")
    message = refusal(folder)
    assert "'pick_and_hope'" in message and "config.json" in message
    for kind in (*TYPES, "multi_task_dit", "dit_policy_ros", "xvla"):
        assert kind in message


@pytest.mark.parametrize("kind", [None, 3, ["act"]])
def test_a_type_must_be_a_name(copied: Saved, kind: Any) -> None:
    folder = copied("act")
    edit_config(folder, type=kind)
    assert repr(kind) in refusal(folder) and "installed: " in refusal(folder)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("vqbet", "queue"), ("tdmpc", "queue"), ("gaussian_actor", "single actions"), ("groot", "Python code")],
)
def test_types_that_cannot_run_here_say_why(copied: Saved, kind: str, reason: str) -> None:
    folder = copied("act")
    edit_config(folder, type=kind)
    assert f"'{kind}'" in refusal(folder) and reason in refusal(folder)


def test_without_lerobot_the_error_says_what_to_install(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("dit_policy_ros.policy.lerobot_policies")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lerobot.configs", None)
    assert "requirements/train.txt" in refusal(saved("act"))


@pytest.mark.slow  # a process of its own
def test_our_own_policies_leave_lerobot_alone(tmp_path: Path) -> None:
    from tiny_policy import save_tiny as save_ours

    folder = save_ours(tmp_path / "ours")
    code = f"import sys; from dit_policy_ros.policy import load_policy; load_policy({str(folder)!r})"
    code += "; print('lerobot' in sys.modules, 'diffusers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "False"], done.stderr


# config.json


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"chunk_size": "10"}, ("chunk_size", "'10'", "an integer")),
        ({"chunk_size": 10.5}, ("chunk_size", "10.5")),
        ({"dropout": float("nan")}, ("dropout", "nan")),
        ({"dropout": True}, ("dropout", "True")),
        ({"use_vae": 1}, ("use_vae", "true or false")),
        ({"chunk_length": 10}, ("unknown option 'chunk_length'", "chunk_size")),
        ({"normalization_mapping": {"STATE": "MEDIAN"}}, ("normalization_mapping.STATE", "'MEDIAN'")),
        ({"vision_backbone": "vgg"}, ("vision_backbone", "ResNet")),
        ({"n_obs_steps": 2}, ("obs", "2")),
        ({"use_peft": True}, ("use_peft", "adapter")),
        ({"input_features": {}}, ("input_features",)),
        ({"output_features": None}, ("output_features",)),
    ],
)
def test_config_json_is_read_strictly(copied: Saved, options: dict[str, Any], parts: tuple[str, ...]) -> None:
    folder = copied("act")
    edit_config(folder, **options)
    message = refusal(folder)
    assert "config.json" in message
    for part in parts:
        assert part in message


IMAGE = {"type": "VISUAL", "shape": [3, 48, 64]}
STATE = {"type": "STATE", "shape": [4]}


@pytest.mark.parametrize(
    ("features", "part"),
    [
        ({"observation.images.cam0": IMAGE}, "observation.state"),
        ({"observation.state": {"type": "ENV", "shape": [4]}}, "of type STATE"),
        (
            {"observation.state": STATE, "observation.environment_state": {"type": "ENV", "shape": [6]}},
            "measure",
        ),
        ({"observation.state": STATE, "observation.effort": STATE}, "observation.effort"),
        (
            {"observation.state": STATE, "observation.images.a": {"type": "VISUAL", "shape": [1, 48, 64]}},
            "(1, 48",
        ),
        (
            {"observation.state": STATE, "observation.images.a": {"type": "VISUAL", "shape": [3, 48]}},
            "(3, 48)",
        ),
        ({"observation.state": {"type": "STATE", "shape": [0]}}, "(0,)"),
        ({"observation.state": {"type": "STATE", "shape": ["4"]}}, "'4'"),
    ],
)
def test_inputs_that_the_robot_does_not_have(copied: Saved, features: dict[str, Any], part: str) -> None:
    folder = copied("act")
    edit_config(folder, input_features=features)
    message = refusal(folder)
    assert "input_features" in message and part in message


@pytest.mark.parametrize("steps", [0, 11, -1])
def test_sampling_steps_that_the_schedule_does_not_have(saved: Saved, steps: int) -> None:
    assert f"got {steps}" in refusal(saved("diffusion"), sampling_steps=steps)


def test_steps_that_begin_within_the_schedule_are_warned_of(
    saved: Saved, caplog: pytest.LogCaptureFixture
) -> None:
    load_policy(saved("diffusion"), sampling_steps=7)
    assert "does not divide the 10 training steps" in caplog.text


# Weights


def test_weights_that_are_missing(copied: Saved) -> None:
    folder = copied("act")
    edit_tensors(folder, "model.safetensors", lambda t: t.pop("model.action_head.weight"))
    assert "missing tensor model.action_head.weight" in refusal(folder)


@pytest.mark.parametrize("kind", ["pi0", pytest.param("pi05", marks=pytest.mark.slow)])
def test_weights_that_lerobot_would_leave_random(copied: Saved, kind: str) -> None:
    """LeRobot's pi0 prints a warning and goes on with what it could load."""
    folder = copied(kind)
    edit_tensors(folder, "model.safetensors", lambda t: t.pop("model.action_out_proj.weight"))
    assert "model.action_out_proj.weight" in refusal(folder)


@pytest.mark.parametrize("kind", ["act", "pi0"])
def test_weights_of_another_shape(copied: Saved, kind: str) -> None:
    folder, name = copied(kind), {"act": "model.action_head.bias", "pi0": "model.action_out_proj.bias"}[kind]
    edit_tensors(folder, "model.safetensors", lambda t: t.update({name: torch.zeros(3)}))
    assert name in refusal(folder)


def test_weights_that_nobody_knows(copied: Saved) -> None:
    folder = copied("act")
    edit_tensors(folder, "model.safetensors", lambda t: t.update(extra=torch.zeros(3)))
    assert "unknown tensor extra" in refusal(folder)


@pytest.mark.parametrize("kind", TYPES)
def test_weights_that_are_not_finite(copied: Saved, kind: str) -> None:
    folder = copied(kind)

    def break_one(tensors: dict[str, Any]) -> None:
        name = min(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.ndim)
        tensors[name].view(-1)[0] = float("nan")

    edit_tensors(folder, "model.safetensors", break_one)
    assert "NaN or infinity in 1 tensors" in refusal(folder)


def test_statistics_among_the_weights_are_of_an_old_version(copied: Saved) -> None:
    folder = copied("act")
    old = {"normalize_inputs.buffer_observation_state.mean": torch.zeros(4)}
    edit_tensors(folder, "model.safetensors", lambda t: t.update(old))
    assert "migrate_policy_normalization" in refusal(folder)


def test_a_checkpoint_without_processors_is_of_an_old_version(copied: Saved) -> None:
    folder = copied("act")
    for name in ("pre", "post"):
        (folder / f"policy_{name}processor.json").unlink()
    message = refusal(folder)
    assert "lacks policy_preprocessor.json" in message and "migrate_policy_normalization" in message


def test_nothing_pickled_is_loaded(copied: Saved) -> None:
    folder = copied("act")

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (folder / "exploded",))

    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    assert "cannot read the weights" in refusal(folder)
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize("kind", ["act", "diffusion"])
def test_weights_that_training_began_with_are_not_fetched(copied: Saved, kind: str) -> None:
    """torchvision has them pickled; the checkpoint has all that is needed."""
    options = {"use_group_norm": False} if kind == "diffusion" else {}
    folder = copied(kind) if kind == "act" else save_tiny(copied(kind) / "new", kind, **options)
    edit_config(folder, pretrained_backbone_weights="ResNet18_Weights.IMAGENET1K_V1")
    load_policy(folder)


def test_loading_of_pickles_is_refused_while_a_policy_is_built(tmp_path: Path) -> None:
    from dit_policy_ros.policy.lerobot_policies._weights import safe_loading

    torch.save(torch.zeros(1), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="pickled"), safe_loading():
        torch.load(tmp_path / "weights.pt")
    assert torch.load(tmp_path / "weights.pt").shape == (1,)


# Processors


def step_of(folder: Path, index: int, change: Callable[[dict[str, Any]], Any], name: str = "pre") -> None:
    edit_json(folder / f"policy_{name}processor.json", lambda pipeline: change(pipeline["steps"][index]))


def test_a_step_given_by_its_class_is_not_run(copied: Saved) -> None:
    folder = copied("act")

    def replace(step: dict[str, Any]) -> None:
        step.clear()
        step.update({"class": "pathlib.Path.touch", "config": {"self": str(folder / "run")}})

    step_of(folder, 0, replace)
    assert "could run anything" in refusal(folder) and not (folder / "run").exists()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda step: step.update(registry_name="no_such_step"), "no_such_step"),
        (lambda step: step.update(config=[1]), "config"),
        (lambda step: step["config"].update(rename_map={"a": 1}), "rename_map"),
        (lambda step: step["config"].update(rename_maps={}), "rename_maps"),
        (
            lambda step: step.update(
                config={"rename_map": {"a": "observation.state", "b": "observation.state"}}
            ),
            "'b'",
        ),
    ],
)
def test_steps_are_read_strictly(copied: Saved, change: Callable[[dict[str, Any]], Any], part: str) -> None:
    folder = copied("act")
    step_of(folder, 0, change)
    message = refusal(folder)
    assert part in message and "policy_preprocessor.json" in message


@pytest.mark.parametrize("file", ["../other.safetensors", "/etc/passwd", "none.safetensors", 3])
def test_statistics_come_from_the_checkpoint(copied: Saved, file: Any) -> None:
    folder = copied("act")
    step_of(folder, 0, lambda step: step.update(state_file=file), "post")
    assert "policy_postprocessor.json" in refusal(folder) or "cannot read the statistics" in refusal(folder)


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("policy_preprocessor*.safetensors", "observation.state.mean"),
        ("policy_preprocessor*.safetensors", "observation.images.cam1.std"),
        ("policy_postprocessor*.safetensors", "action.std"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "nan", "shape"])
def test_statistics_that_lerobot_would_pass_over(copied: Saved, pattern: str, key: str, damage: str) -> None:
    """Without them LeRobot does not normalise, and the robot would move by the network's units."""
    folder = copied("act")

    def harm(tensors: dict[str, Any]) -> None:
        if damage == "missing":
            del tensors[key]
        elif damage == "nan":
            tensors[key].view(-1)[0] = float("nan")
        else:
            tensors[key] = torch.ones(3 if key.startswith("action") or "state" in key else 5)

    edit_tensors(folder, pattern, harm)
    assert key in refusal(folder)


def test_all_statistics_of_the_action_are_missing(copied: Saved) -> None:
    folder = copied("act")

    def harm(tensors: dict[str, Any]) -> None:
        for key in [key for key in tensors if key.startswith("action.")]:
            del tensors[key]

    edit_tensors(folder, "policy_postprocessor*.safetensors", harm)
    assert "action.mean" in refusal(folder)


def test_a_pipeline_without_normalisation(copied: Saved) -> None:
    folder = copied("act")
    path = folder / "policy_postprocessor.json"
    edit_json(path, lambda pipeline: pipeline.update(steps=pipeline["steps"][1:]))
    assert "action is normalised with MEAN_STD" in refusal(folder)


def test_a_pipeline_that_normalises_otherwise_than_config_json(copied: Saved) -> None:
    folder = copied("act")
    edit_steps(folder, NORMALIZER, norm_map={"STATE": "MIN_MAX", "ACTION": "MEAN_STD", "VISUAL": "MEAN_STD"})
    message = refusal(folder)
    assert "observation.state" in message and "MEAN_STD" in message and "MIN_MAX" in message


def test_actions_scaled_otherwise_than_in_training(copied: Saved) -> None:
    folder = copied("act")
    edit_tensors(folder, "policy_postprocessor*.safetensors", lambda t: t["action.mean"].add_(0.5))
    assert "not be the one that was learned" in refusal(folder)


def test_statistics_in_the_json_are_refused(copied: Saved) -> None:
    """LeRobot would prefer them to those in the file, which were checked."""
    folder = copied("act")
    edit_steps(folder, NORMALIZER, stats={"observation.state": {"mean": [9.0] * 4, "std": [1.0] * 4}})
    assert "unknown option 'stats'" in refusal(folder)


# Options of ours


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"warm_start": 2}, ["warm_start"]),
        ({"block_cache": True}, ["block_cache"]),
        ({"guidance_scale": 2.0}, ["guidance_scale"]),
        ({"dtype": "float16"}, ["dtype"]),
        ({"backend": "traced"}, ["backend"]),
        ({"real_time_chunking": True}, ["real_time_chunking", "flow matching"]),
        ({"sampling_steps": 4}, ["sampling_steps", "no sampling steps"]),
        ({"noise_scheduler_type": "DDIM"}, ["noise_scheduler_type"]),
        ({"warm_start": 1, "block_cache": True, "dtype": "bfloat16"}, ["warm_start", "block_cache", "dtype"]),
    ],
)
def test_options_that_mean_nothing_are_refused_by_name(
    saved: Saved, options: dict[str, Any], names: list[str]
) -> None:
    message = refusal(saved("act"), **options)
    assert "'act'" in message
    for name in names:
        assert name in message


def test_one_sampling_step_is_what_act_has(saved: Saved) -> None:
    """A replay passes the number of steps that it recorded."""
    assert load_policy(saved("act"), sampling_steps=1).steps == 1


def test_real_time_chunking_of_a_diffusion_policy(saved: Saved) -> None:
    assert "continues another" in refusal(saved("diffusion"), real_time_chunking=True)


def test_an_unknown_backend_is_no_other_error(saved: Saved) -> None:
    assert "expected one of auto, plain" in refusal(saved("act"), backend="fast")


# What the checkpoint does not state


def test_the_robot_must_state_rate_and_joints(saved: Saved) -> None:
    policy = load_policy(saved("act"), assume_fps=FPS, assume_joints=JOINTS)
    assert policy.fps == FPS and policy.joint_names == policy.action_names == JOINTS
    assert "got 3 names" in refusal(saved("act"), assume_joints=JOINTS[:3])
    assert "a twice" in refusal(saved("act"), assume_joints=("a", "b", "c", "a"))


def test_facts_beside_the_checkpoint(copied: Saved) -> None:
    folder = copied("act")
    facts = {"format": 1, "fps": FPS, "joint_names": list(JOINTS), "known_tasks": list(TASKS)}
    (folder / "dit_policy_ros.json").write_text(json.dumps(facts))
    policy = load_policy(folder)
    assert (policy.fps, policy.joint_names, policy.known_tasks) == (FPS, JOINTS, TASKS)
    assert "states 30 Hz" in refusal(folder, assume_fps=15.0)
    (folder / "dit_policy_ros.json").write_text(json.dumps({**facts, "joint_names": ["a"]}))
    assert "expected 4" in refusal(folder)


# Inputs


def test_inputs_are_checked(saved: Saved) -> None:
    policy = load_policy(saved("act"))
    images, state = random_observation(policy)
    with pytest.raises(StreamError, match="cam1"):
        policy.predict({"cam0": images["cam0"]}, state, TASKS[0])
    with pytest.raises(StreamError, match="uint8"):
        policy.predict({name: image[:, :-1] for name, image in images.items()}, state, TASKS[0])
    with pytest.raises(StreamError, match="finite"):
        policy.predict(images, np.full_like(state, np.nan), TASKS[0])
    with pytest.raises(TaskError):
        policy.predict(images, state, " ")


def test_a_state_far_from_the_training_data(saved: Saved) -> None:
    limited = load_policy(saved("act"), assume_joints=JOINTS)
    images, state = random_observation(limited)
    limited.predict(images, state, TASKS[0])
    assert limited.unseen_state == ""
    far = state.copy()
    far[:, 2] = 50.0
    assert np.abs(limited.predict(images, far, TASKS[0])).max() < 10
    assert "c is at 50" in limited.unseen_state
    with pytest.raises(StreamError, match="c is at 50"):
        load_policy(saved("act"), unseen_state="hold", assume_joints=JOINTS).predict(images, far, TASKS[0])
