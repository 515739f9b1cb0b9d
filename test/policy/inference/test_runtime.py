# SPDX-License-Identifier: Apache-2.0
"""The loaded policy: its chunks, and its errors for inputs that it cannot use."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_policy import (
    TASKS,
    random_observation,
    random_policy,
    random_stats,
    save_tiny,
    tiny_config,
    tiny_tokenizer,
)

from dit_policy_ros.core.errors import CheckpointError, StreamError, TaskError
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.inference import DiTRuntime
from dit_policy_ros.policy.inference._text_cache import MAX_CACHED_TASKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("checkpoint") / "ddpm", tiny_config(cameras=2))


@pytest.fixture(scope="module")
def policy(folder: Path) -> DiTRuntime:
    return load_policy(folder, noise_scheduler_type="DDIM", num_inference_steps=4)


@pytest.fixture
def observation(policy: DiTRuntime) -> dict[str, Any]:
    images, state = random_observation(policy.checkpoint.config)
    return {"images": images, "state": state, "task": TASKS[0]}


def test_it_implements_the_policy_protocol(policy: DiTRuntime) -> None:
    typed: Policy = policy
    assert typed.image_shapes == {"cam0": (30, 40), "cam1": (30, 40)}
    assert (typed.state_dim, typed.action_dim, typed.n_obs_steps, typed.horizon) == (5, 4, 2, 8)
    assert (typed.fps, typed.joint_names, typed.known_tasks) == (30.0, tuple("abcde"), TASKS)
    assert typed.action_names == tuple("abcd")
    assert typed.device == "cpu"
    assert "diffusion (DDIM, 4 steps)" in typed.description and "cam0, cam1" in typed.description


def test_a_chunk_begins_at_the_newest_observation(policy: DiTRuntime, observation: dict[str, Any]) -> None:
    chunk = policy.predict(**observation)
    assert chunk.shape == (8 - 2 + 1, 4) and chunk.dtype == np.float32 and np.isfinite(chunk).all()


def test_noise_comes_from_torchs_global_generator_or_the_caller(
    policy: DiTRuntime, observation: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    drawn = policy.predict(**observation)
    torch.manual_seed(1)
    noise = torch.randn(1, 8, 4)[0].numpy()
    torch.manual_seed(2)
    np.testing.assert_array_equal(policy.predict(**observation, noise=noise), drawn)
    assert not np.array_equal(policy.predict(**observation), drawn)


def test_images_state_and_task_each_change_the_chunk(policy: DiTRuntime, observation: dict[str, Any]) -> None:
    noise = np.zeros((8, 4), np.float32)
    before = policy.predict(**observation, noise=noise)
    swapped = {"cam0": observation["images"]["cam1"], "cam1": observation["images"]["cam0"]}
    for change in (
        {"images": swapped},
        {"state": observation["state"] + np.float32(0.1)},
        {"task": TASKS[1]},
    ):
        assert np.abs(policy.predict(**{**observation, **change}, noise=noise) - before).max() > 1e-4


def test_the_order_of_the_callers_cameras_does_not_matter(
    policy: DiTRuntime, observation: dict[str, Any]
) -> None:
    noise = np.zeros((8, 4), np.float32)
    turned = {**observation, "images": dict(reversed(observation["images"].items()))}
    np.testing.assert_array_equal(
        policy.predict(**turned, noise=noise), policy.predict(**observation, noise=noise)
    )


def test_inputs_are_not_changed_and_the_chunk_belongs_to_the_caller(
    policy: DiTRuntime, observation: dict[str, Any]
) -> None:
    images = {name: image.copy() for name, image in observation["images"].items()}
    state, noise = observation["state"].copy(), np.ones((8, 4), np.float32)
    first = policy.predict(**observation, noise=noise)
    kept = first.copy()
    first += 1.0
    np.testing.assert_array_equal(policy.predict(**observation, noise=noise), kept)
    assert all(np.array_equal(observation["images"][name], image) for name, image in images.items())
    assert np.array_equal(observation["state"], state) and (noise == 1).all()


def test_read_only_and_strided_arrays_are_accepted(policy: DiTRuntime, observation: dict[str, Any]) -> None:
    noise = np.zeros((8, 4), np.float32)
    expected = policy.predict(**observation, noise=noise)
    wide = {name: np.repeat(image, 2, axis=2)[:, :, ::2] for name, image in observation["images"].items()}
    frozen = observation["state"].copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(policy.predict(wide, frozen, TASKS[0], noise), expected)


def test_an_instruction_is_encoded_once(
    policy: DiTRuntime, observation: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    text = policy.module.observation_encoder.text_encoder
    pool = text.pool
    monkeypatch.setattr(text, "pool", lambda ids, mask: calls.append(len(ids)) or pool(ids, mask))
    for task in ("new one", "new two", "new one", "new two"):
        policy.predict(**{**observation, "task": task})
    assert len(calls) == 2
    for i in range(MAX_CACHED_TASKS):
        policy.predict(**{**observation, "task": f"filler {i}"})
    policy.predict(**{**observation, "task": "new one"})
    assert len(calls) == 2 + MAX_CACHED_TASKS + 1, "the oldest instruction was dropped"


def test_a_truncated_instruction_is_logged(
    policy: DiTRuntime, observation: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    policy.predict(**{**observation, "task": "touch " * 40})
    assert "reads only the first 16 tokens" in caplog.text


def test_warm_up_measures_and_leaves_the_generator_alone(policy: DiTRuntime) -> None:
    torch.manual_seed(4)
    expected = torch.randn(3)
    torch.manual_seed(4)
    latencies = policy.warm_up(3)
    assert latencies.shape == (3,) and (latencies > 0).all()
    assert torch.equal(torch.randn(3), expected)


BAD_STATE = np.zeros((2, 5), np.float32)
BAD_STATE[1, 2] = np.nan


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        ({"images": {}}, StreamError, r"expected the checkpoint's cameras \['cam0', 'cam1'\], got \[\]"),
        (
            {"state": np.zeros((2, 4), np.float32)},
            StreamError,
            r"state: expected float32 \(2, 5\), got float32 \(2, 4\)",
        ),
        ({"state": np.zeros((2, 5))}, StreamError, r"state: expected float32 \(2, 5\), got float64"),
        ({"state": [[0.0] * 5] * 2}, StreamError, "state: expected float32 .* got list"),
        ({"state": BAD_STATE}, StreamError, r"state: expected finite numbers, got nan at \[1, 2\] \(c\)"),
        ({"noise": np.zeros((7, 4), np.float32)}, StreamError, r"noise: expected float32 \(8, 4\)"),
        (
            {"noise": np.full((8, 4), np.inf, np.float32)},
            StreamError,
            "noise: expected finite numbers, got inf",
        ),
        ({"task": ""}, TaskError, "got an empty string; known tasks: 'touch the red cube"),
        ({"task": " \n"}, TaskError, "only blanks"),
        ({"task": "x" * 10_000}, TaskError, "expected at most 1000 characters, got 10000"),
        ({"task": None}, TaskError, "expected a string, got NoneType"),
    ],
)
def test_the_error_names_the_bad_input(
    policy: DiTRuntime,
    observation: dict[str, Any],
    change: dict[str, Any],
    error: type[Exception],
    expected: str,
) -> None:
    with pytest.raises(error, match=expected):
        policy.predict(**{**observation, **change})


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 30, 41, 3), np.uint8), np.zeros((2, 30, 40, 3)), np.zeros((30, 40, 3), np.uint8)]
)
def test_the_error_names_the_bad_image(
    policy: DiTRuntime, observation: dict[str, Any], bad: np.ndarray
) -> None:
    images = {**observation["images"], "cam1": bad}
    with pytest.raises(StreamError, match=r"images\['cam1'\]: expected uint8 \(2, 30, 40, 3\).*got"):
        policy.predict(**{**observation, "images": images})
    with pytest.raises(StreamError, match=r"got \['cam0', 'cam2'\]"):
        policy.predict(**{**observation, "images": {"cam0": images["cam0"], "cam2": images["cam0"]}})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "gpu"}, "expected 'auto', 'cpu', 'cuda' or 'cuda:<n>', got 'gpu'"),
        ({"device": "cuda:99"}, r"got 'cuda:99', but torch .* sees \d+ CUDA device"),
        (
            {"chunk_continuity": True},
            "the option 'chunk_continuity' is now called 'real_time_chunking'; use the new name",
        ),
        ({"num_threads": 0}, "num_threads: expected at least 1, got 0"),
        (
            {"steps": 4},
            "unknown option 'steps' for a diffusion checkpoint; valid options: noise_scheduler_type",
        ),
    ],
)
def test_load_policy_refuses_bad_options(folder: Path, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(CheckpointError, match=expected):
        load_policy(folder, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_auto_falls_back_to_the_cpu_and_cuda_does_not(folder: Path) -> None:
    assert load_policy(folder, device="auto").device == "cpu"
    with pytest.raises(CheckpointError, match="Use 'cpu', or 'auto' to use a GPU only if there is one"):
        load_policy(folder, device="cuda")


@pytest.mark.slow
def test_the_policy_needs_neither_lerobot_nor_diffusers_nor_ros(folder: Path) -> None:
    code = (
        "import sys; from dit_policy_ros.policy import load_policy; load_policy(sys.argv[1]).warm_up(1); "
        "print(sorted({'lerobot', 'diffusers', 'rclpy', 'mujoco'} & {m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def resting_checkpoint(folder: Path, noise: float) -> Path:
    """A foreign checkpoint: an arm's joint rested in its data."""
    config = tiny_config(num_inference_steps=4, noise_scheduler_type="DDIM")
    stats = random_stats(config)
    state = stats["observation.state"]
    for name, value in state.items():
        state[name] = value.clone()
        state[name][3] = 0.1
    state["min"][3] -= noise
    state["max"][3] += noise
    state["std"][3] = noise / 2
    facts = CheckpointFacts(fps=30.0, joint_names=(*"abcde",), action_names=(*"abcd",), known_tasks=TASKS)
    return write_checkpoint(folder, random_policy(config), stats, facts, tiny_tokenizer())


@pytest.mark.parametrize("noise", [0.0, 1e-5])
def test_a_joint_that_rested_in_the_data_does_not_move_the_others(tmp_path: Path, noise: float) -> None:
    policy = load_policy(resting_checkpoint(tmp_path / "resting", noise))
    images, state = random_observation(policy.checkpoint.config)
    state[:, 3] = 0.1
    start = np.zeros((8, 4), np.float32)
    edge = state.copy()
    edge[:, 3] += np.float32(noise)  # the training data have been there
    before = policy.predict(images, edge, TASKS[0], start)
    assert policy.unseen_state == ""
    for off in (1e-4, 1e-3, 0.02, 0.1):
        moved = state.copy()
        moved[:, 3] += np.float32(off)
        np.testing.assert_array_equal(policy.predict(images, moved, TASKS[0], start), before)
        assert (f"d is at {0.1 + off:.4g}" in policy.unseen_state) == (off > 0.01)
    policy.predict(images, state, TASKS[0], start)
    assert policy.unseen_state == "", "it is about the last observation"


def test_a_state_that_is_too_far_outside_is_refused_with_a_remedy(folder: Path, tmp_path: Path) -> None:
    strict = load_policy(folder, unseen_state="hold", num_inference_steps=2)
    images, state = random_observation(strict.checkpoint.config)
    strict.predict(images, state, TASKS[0])
    state[-1, 2] = 60.0  # degrees
    with pytest.raises(StreamError, match=r"state: c is at 60, .* outside the range .* set unseen_state"):
        strict.predict(images, state, TASKS[0])
    strict.warm_up(1)  # its own input is no reason for a refusal
    tolerant = load_policy(folder, num_inference_steps=2)
    assert np.isfinite(tolerant.predict(images, state, TASKS[0])).all()
    assert tolerant.unseen_state.startswith("c is at 60")
    with pytest.raises(CheckpointError, match="unseen_state: expected 'hold' or 'limit', got 'ignore'"):
        load_policy(folder, unseen_state="ignore")


def test_facts_that_a_checkpoint_does_not_state_can_be_assumed(folder: Path, tmp_path: Path) -> None:
    foreign = Path(shutil.copytree(folder, tmp_path / "foreign"))
    (foreign / "dit_policy_ros.json").unlink()  # as LeRobot writes it
    plain = load_policy(foreign)
    assert plain.fps is None and plain.joint_names is None
    joints = (*"edcba",)
    assumed = load_policy(foreign, assume_fps=15.0, assume_joints=joints)
    assert (assumed.fps, assumed.joint_names) == (15.0, joints)
    stated = load_policy(folder, assume_fps=30.0)
    assert stated.fps == 30.0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"assume_fps": 15.0},
            r"assume_fps: .*dit_policy_ros\.json states 30 Hz, expected that or none, got 15",
        ),
        (
            {"assume_joints": ["d", "c", "b", "a"]},
            r"assume_joints: .* states .*, expected those or none, got d, c",
        ),
    ],
)
def test_an_assumption_that_contradicts_the_checkpoint_is_refused(
    folder: Path, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(CheckpointError, match=expected):
        load_policy(folder, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"assume_fps": -1.0}, "assume_fps: expected more than 0 Hz, got -1"),
        ({"assume_joints": ["a"]}, "expected the 5 entries of the checkpoint's state, got 1 names"),
        ({"assume_joints": [*"abade"]}, "assume_joints: expected each joint once, got a twice"),
    ],
)
def test_an_impossible_assumption_is_refused(
    folder: Path, tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    foreign = Path(shutil.copytree(folder, tmp_path / "foreign"))
    (foreign / "dit_policy_ros.json").unlink()
    with pytest.raises(CheckpointError, match=expected):
        load_policy(foreign, **options)
