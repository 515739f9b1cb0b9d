# SPDX-License-Identifier: Apache-2.0
"""The same weights, observation and seed give the same chunk, loss and gradients here and in LeRobot."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lerobot_parity import compare_chunk, compare_training, frames_of, load_theirs, training_frames
from mostly_slow import mostly_slow
from parity_grid import grid
from tiny_policy import TASKS, random_observation, save_tiny, tiny_config, tiny_tokenizer

from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint, write_checkpoint
from dit_policy_ros.policy.processing import read_stats

TOLERANCE = 1e-5  # normalised units, float32, the networks as trained
ENGINE_TOLERANCE = 1e-4  # restructured
GRADIENT_TOLERANCE = 1e-4  # relative; sums over a batch in another order

pytestmark = pytest.mark.usefixtures("no_hub")


def check(lerobot: SimpleNamespace, folder: Path, options: dict[str, Any], record: Any) -> None:
    config = tiny_config(**options)
    save_tiny(folder, config)
    theirs, ours = load_theirs(lerobot, folder), load_policy(folder, backend="plain")
    chunk, robot_units = compare_chunk(theirs, ours)
    engine, _ = compare_chunk(theirs, load_policy(folder, backend="eager"))
    loss, gradient = compare_training(theirs, read_checkpoint(folder), training_frames(config))
    record("parity: chunk, normalised", chunk)
    record("parity: chunk, robot units", robot_units)
    record("parity: chunk, normalised, engine", engine)
    record("parity: loss, relative", loss)
    record("parity: gradients, relative", gradient)
    assert chunk < TOLERANCE
    assert engine < ENGINE_TOLERANCE
    assert robot_units < TOLERANCE * 2  # the widest span of the made-up statistics is 1.5
    assert loss < TOLERANCE
    assert gradient < GRADIENT_TOLERANCE


@pytest.mark.parametrize("name", mostly_slow(grid(2), 14))
def test_every_pair_of_options(
    lerobot: SimpleNamespace, tmp_path: Path, name: str, record_property: Any
) -> None:
    check(lerobot, tmp_path / "checkpoint", grid(2)[name], record_property)


@pytest.mark.slow
def test_every_triple_of_options(lerobot: SimpleNamespace, tmp_path: Path, record_property: Any) -> None:
    """One test, because making the selection takes long: collecting the tests must not do it."""
    worst: dict[str, float] = {}

    def keep_worst(name: str, value: float) -> None:
        worst[name] = max(value, worst.get(name, 0.0))

    configurations = grid(3)
    for number, (name, options) in enumerate(configurations.items()):
        try:
            check(lerobot, tmp_path / str(number), options, keep_worst)
        except AssertionError as error:
            error.add_note(f"in configuration {name!r}")
            raise
    for name, value in worst.items():
        record_property(f"{name}, {len(configurations)} triples", value)


def test_a_small_change_of_the_weights_is_detected(lerobot: SimpleNamespace, tmp_path: Path) -> None:
    """The comparison of the tests above can fail."""
    config = tiny_config()
    theirs = load_theirs(lerobot, save_tiny(tmp_path / "ours", config))
    ours = load_policy(tmp_path / "ours", backend="plain")
    checkpoint = read_checkpoint(tmp_path / "ours")
    with torch.no_grad():
        for policy in (ours.module, checkpoint.policy):
            policy.noise_predictor.output_proj.weight[0, 0] += 1e-3
    chunk, robot_units = compare_chunk(theirs, ours)
    loss, gradient = compare_training(theirs, checkpoint, training_frames(config))
    assert chunk > TOLERANCE and robot_units > TOLERANCE
    assert loss > TOLERANCE and gradient > GRADIENT_TOLERANCE


def test_a_checkpoint_that_lerobot_saved_loads_here(lerobot: SimpleNamespace, tmp_path: Path) -> None:
    theirs = load_theirs(lerobot, save_tiny(tmp_path / "ours", tiny_config(cameras=2)))
    with torch.no_grad():
        for parameter in theirs.policy.parameters():
            parameter.mul_(1.1)
    saved = tmp_path / "theirs"
    for part in (theirs.policy, theirs.before, theirs.after):
        part.save_pretrained(saved)
    assert not (saved / "clip").exists()  # LeRobot names our folder by its path instead
    ours = load_policy(saved, backend="plain")
    assert ours.fps is None and ours.joint_names is None and ours.known_tasks == ()
    assert max(compare_chunk(theirs, ours)) < TOLERANCE
    again = tmp_path / "again"
    stats, facts = read_stats(saved), ours.checkpoint.facts
    write_checkpoint(again, ours.module, stats, facts, ours.checkpoint.encoder_files.tokenizer)
    assert max(compare_chunk(load_theirs(lerobot, again), ours)) < TOLERANCE


@pytest.mark.parametrize("key", ["observation.image", "observation.images.head.rgb", "observation.head"])
def test_cameras_of_other_keys_are_read_alike(lerobot: SimpleNamespace, tmp_path: Path, key: str) -> None:
    """LeRobot's own datasets have `observation.image`; the key stays the dataset's in the checkpoint."""
    usual = tiny_config()
    image, state = usual.input_features.values()
    config = dataclasses.replace(usual, input_features={key: image, "observation.state": state})
    theirs = load_theirs(lerobot, save_tiny(tmp_path / "ours", config))
    ours = load_policy(tmp_path / "ours", backend="plain")
    assert max(compare_chunk(theirs, ours)) < TOLERANCE


def test_a_relocated_checkpoint_acts_alike_step_by_step(lerobot: SimpleNamespace, tmp_path: Path) -> None:
    """Through LeRobot's public interface, one observation after another as its robots do."""
    config = tiny_config(cameras=2, n_action_steps=1)
    theirs, ours = load_theirs(lerobot, save_tiny(tmp_path / "ours", config)), load_policy(tmp_path / "ours")
    theirs.policy.reset()
    history = [random_observation(tiny_config(cameras=2, n_obs_steps=1), seed) for seed in range(3)]
    for now in range(3):
        images, state = history[now]
        frame = {key: value[0] for key, value in frames_of(images, state[0], TASKS[0]).items()}
        torch.manual_seed(now)
        action = theirs.after(theirs.policy.select_action(theirs.before(squeezed(frame))))
        seen = [history[max(now - 1, 0)], history[now]]
        stacked = {name: np.concatenate([s[0][name] for s in seen]) for name in images}
        torch.manual_seed(now)
        chunk = ours.predict(stacked, np.concatenate([s[1] for s in seen]), TASKS[0])
        np.testing.assert_allclose(chunk[0], action[0].numpy(), rtol=0, atol=TOLERANCE)


def squeezed(frame: dict[str, Any]) -> dict[str, Any]:
    """Images (1, 3, H, W) of one frame -> (3, H, W)."""
    return {k: v[0] if isinstance(v, torch.Tensor) and v.ndim == 4 else v for k, v in frame.items()}


def test_same_tokens(lerobot: SimpleNamespace, tmp_path: Path) -> None:
    theirs = load_theirs(lerobot, save_tiny(tmp_path / "ours"))
    task = "Touch  the GREEN cube, please!"
    batch = theirs.before(frames_of(*random_observation(tiny_config()), task))
    ids, mask = tiny_tokenizer()([task])
    assert torch.equal(batch["observation.language.tokens"], ids)
    assert torch.equal(batch["observation.language.attention_mask"], mask)
