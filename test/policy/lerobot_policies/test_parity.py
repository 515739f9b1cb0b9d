# SPDX-License-Identifier: Apache-2.0
"""A chunk of a LeRobot policy is LeRobot's own, bit for bit, for the same observation and seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_lerobot import (
    TASKS,
    TYPES,
    Theirs,
    edit_json,
    edit_steps,
    random_observation,
    save_tiny,
)

from dit_policy_ros.core.incidents import predict_seeded
from dit_policy_ros.policy import load_policy

SEED = 7
Saved = Callable[[str], Path]


def check_parity(folder: Path, moments: int = 3) -> Any:
    """Our chunks begin with LeRobot's; returns our policy."""
    theirs, ours = Theirs(folder), load_policy(folder)
    for moment in range(moments):
        images, state = random_observation(ours, moment)
        expected = theirs.chunk(images, state, TASKS[moment % 2], SEED + moment)  # (R, A)
        assert expected.std() > 1e-3, "constant actions prove nothing"
        ours.seed_sampling(SEED + moment)
        chunk = ours.predict(images, state, TASKS[moment % 2])
        assert chunk.dtype == np.float32 and chunk.shape == (ours.horizon - ours.n_obs_steps + 1, 4)
        assert chunk[: len(expected)].tobytes() == expected.tobytes()
    return ours


@pytest.mark.parametrize("kind", TYPES)
def test_a_chunk_is_lerobots_own(saved: Saved, kind: str) -> None:
    policy = check_parity(saved(kind))
    assert policy.image_shapes == {"cam0": (48, 64), "cam1": (48, 64)}
    assert (policy.state_dim, policy.action_dim) == (4, 4)
    assert policy.fps is None and policy.joint_names is None and policy.action_names is None
    assert kind in policy.description and kind in policy.backend and policy.device == "cpu"


@pytest.mark.parametrize("kind", ["act", "diffusion", pytest.param("smolvla", marks=pytest.mark.slow)])
def test_the_seed_alone_decides(saved: Saved, kind: str) -> None:
    """So that a replay repeats it exactly, in another process and after other observations."""
    policy = load_policy(saved(kind))
    images, state = random_observation(policy, 1)
    first = predict_seeded(policy, images, state, TASKS[0], seed=3)
    predict_seeded(policy, *random_observation(policy, 2), TASKS[1], seed=4)
    torch.rand(5)
    again = predict_seeded(load_policy(saved(kind)), images, state, TASKS[0], seed=3)
    assert first.tobytes() == again.tobytes()
    other = predict_seeded(policy, images, state, TASKS[0], seed=4)
    assert (kind == "act") == (first.tobytes() == other.tobytes())  # ACT draws nothing


@pytest.mark.parametrize(
    "kind",
    ["diffusion", *(pytest.param(each, marks=pytest.mark.slow) for each in ("smolvla", "pi0", "pi05"))],
)
def test_the_given_noise_is_where_sampling_starts(saved: Saved, kind: str) -> None:
    policy = load_policy(saved(kind))
    images, state = random_observation(policy)
    chunks = []
    for scale in (0.0, 0.0, 1.0):
        torch.manual_seed(1)
        noise = np.full((policy.horizon, policy.action_dim), scale, np.float32)
        chunks.append(policy.predict(images, state, TASKS[0], noise))
    assert chunks[0].tobytes() == chunks[1].tobytes() != chunks[2].tobytes()


@pytest.mark.parametrize(
    "kind", ["smolvla", *(pytest.param(each, marks=pytest.mark.slow) for each in ("pi0", "pi05"))]
)
def test_the_instruction_matters_to_a_language_policy(saved: Saved, kind: str) -> None:
    policy = load_policy(saved(kind))
    images, state = random_observation(policy)
    red, blue = (predict_seeded(policy, images, state, task, seed=3) for task in TASKS)
    assert red.tobytes() != blue.tobytes()


@pytest.mark.parametrize("kind", ["act", "diffusion"])
@pytest.mark.slow
def test_the_instruction_means_nothing_to_the_others(saved: Saved, kind: str) -> None:
    policy = load_policy(saved(kind))
    images, state = random_observation(policy)
    red, blue = (predict_seeded(policy, images, state, task, seed=3) for task in TASKS)
    assert red.tobytes() == blue.tobytes()


def test_cameras_are_known_by_name_and_not_by_order(saved: Saved) -> None:
    policy = load_policy(saved("act"))
    images, state = random_observation(policy)
    chunk = policy.predict(images, state, TASKS[0])
    turned = {name: images[name] for name in reversed(images)}
    assert policy.predict(turned, state, TASKS[0]).tobytes() == chunk.tobytes()
    swapped = {"cam0": images["cam1"], "cam1": images["cam0"]}
    assert policy.predict(swapped, state, TASKS[0]).tobytes() != chunk.tobytes()


@pytest.mark.slow
def test_a_diffusion_policy_sees_its_history_as_on_lerobots_robots(saved: Saved) -> None:
    """Step by step through select_action, whose queues LeRobot fills from one observation after another."""
    theirs, ours = Theirs(saved("diffusion")), load_policy(saved("diffusion"))
    assert ours.n_obs_steps == 2
    images, state = random_observation(ours, 5)
    theirs.policy.reset()
    rows: list[np.ndarray] = []
    for step in (0, 1):
        batch = theirs.before(theirs.frame(images, state, TASKS[0], step))
        theirs.policy._queues["action"].clear()  # so that the second call infers, too
        torch.manual_seed(SEED)
        first = theirs.policy.select_action(batch)
    rows = [first, *theirs.policy._queues["action"]]
    expected = torch.stack([theirs.after(row) for row in rows])[:, 0].numpy()  # (R, A)
    ours.seed_sampling(SEED)
    chunk = ours.predict(images, state, TASKS[0])
    assert len(expected) == 4 and chunk[:4].tobytes() == expected.tobytes()


@pytest.mark.slow
def test_a_chunk_of_a_diffusion_policy_is_whole(saved: Saved, copied: Saved) -> None:
    """All that it predicts from now on, not only the n_action_steps that LeRobot's robots execute."""
    ours, folder = load_policy(saved("diffusion")), copied("diffusion")
    assert ours.horizon == 8 and len(ours.predict(*random_observation(ours), TASKS[0])) == 7
    edit_json(folder / "config.json", lambda config: config.update(n_action_steps=7))
    check_parity(folder)


@pytest.mark.parametrize("steps", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_the_number_of_sampling_steps_can_be_changed(saved: Saved, copied: Saved, steps: int) -> None:
    folder = copied("diffusion")
    edit_json(folder / "config.json", lambda config: config.update(num_inference_steps=steps))
    theirs, ours = Theirs(folder), load_policy(saved("diffusion"), sampling_steps=steps)
    assert ours.steps == steps and f"{steps} steps" in ours.backend
    images, state = random_observation(ours)
    expected = theirs.chunk(images, state, TASKS[0], SEED)
    ours.seed_sampling(SEED)
    assert ours.predict(images, state, TASKS[0])[:4].tobytes() == expected.tobytes()


@pytest.mark.slow
def test_inputs_have_the_names_of_the_training_data(copied: Saved) -> None:
    """A policy that was fine-tuned on data with other camera names has a rename_map in its preprocessor."""
    folder = copied("act")
    usual = load_policy(folder)
    images, state = random_observation(usual)
    chunk = usual.predict(images, state, TASKS[0])
    renamed = {"observation.images.wrist": "observation.images.cam0"}
    edit_steps(folder, "rename_observations_processor", rename_map=renamed)
    policy = load_policy(folder)
    assert set(policy.image_shapes) == {"wrist", "cam1"}
    given = {"wrist": images["cam0"], "cam1": images["cam1"]}
    assert policy.predict(given, state, TASKS[0]).tobytes() == chunk.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["smolvla", "pi0"])
def test_lerobots_empty_cameras_are_not_the_robots(tmp_path: Path, kind: str) -> None:
    folder = save_tiny(tmp_path / "checkpoint", kind, empty_cameras=1)
    assert set(check_parity(folder, moments=1).image_shapes) == {"cam0"}


@pytest.mark.slow
def test_smolvla_that_began_with_pretrained_weights(tmp_path: Path) -> None:
    """LeRobot then computes its vision-language model in bfloat16."""
    folder = save_tiny(tmp_path / "checkpoint", "smolvla", load_vlm_weights=True)
    assert "bfloat16" in check_parity(folder).backend


@pytest.mark.slow  # 8 s each
@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_relative_actions_begin_at_the_state(tmp_path: Path, kind: str) -> None:
    names = ["arm_a", "arm_b", "arm_c", "gripper"]
    folder = save_tiny(tmp_path / "checkpoint", kind, use_relative_actions=True, action_feature_names=names)
    policy = check_parity(folder)
    assert policy.action_names == tuple(names) and policy.joint_names is None
    images, state = random_observation(policy)
    chunk = predict_seeded(policy, images, state, TASKS[0], seed=1)
    assert kind == "pi05" or not np.array_equal(
        chunk, predict_seeded(policy, images, state + 0.1, TASKS[0], 1)
    )


@pytest.mark.slow
def test_bfloat16_of_the_checkpoint_stays(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "checkpoint", "pi0", dtype="bfloat16")
    assert "bfloat16 and float32" in check_parity(folder).backend
