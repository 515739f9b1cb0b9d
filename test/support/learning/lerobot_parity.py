# SPDX-License-Identifier: Apache-2.0
"""Runs a checkpoint here and in LeRobot with the same observation and seed, and measures differences."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tiny_policy import TASKS, random_observation
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX, camera_names
from dit_policy_ros.policy.checkpoint import Checkpoint, relocate
from dit_policy_ros.policy.dit_policy import Batch
from dit_policy_ros.policy.inference import DiTRuntime

Frames = dict[str, Any]  # input of LeRobot's preprocessor


@dataclass(frozen=True, slots=True)
class Differences:
    """The largest absolute differences between our results and LeRobot's."""

    chunk: float  # in normalised units
    robot_units: float  # [rad or m], after the postprocessor
    loss: float  # relative to LeRobot's loss
    gradient: float  # of any parameter, relative to the largest entry of LeRobot's gradient of that parameter


def worst(differences: list[Differences]) -> Differences:
    return Differences(*(max(getattr(d, f.name) for d in differences) for f in fields(Differences)))


@dataclass(frozen=True, slots=True)
class Theirs:
    """A checkpoint in LeRobot's own classes."""

    policy: Any  # MultiTaskDiTPolicy
    before: Any  # preprocessor pipeline
    after: Any  # postprocessor pipeline


def load_theirs(lerobot: SimpleNamespace, folder: Path) -> Theirs:
    """Relocate one of our checkpoints, and load it with LeRobot's public functions."""
    relocate(folder)
    config = lerobot.Config.from_pretrained(folder)
    policy = lerobot.Policy.from_pretrained(folder, config=config, strict=True).eval()
    return Theirs(policy, *lerobot.processors(config, pretrained_path=str(folder)))


def frames_of(
    images: dict[str, NDArray[np.uint8]],
    state: NDArray[np.float32],
    task: str,
    keys: Mapping[str, str] | None = None,
) -> Frames:
    """One observation history (S, ...) in the format of LeRobot's datasets, with a batch axis.

    keys: of the cameras; None for LeRobot's usual ones.
    """
    known = keys or {}
    frames: Frames = {
        known.get(name, IMAGE_PREFIX + name): torch.from_numpy(image).permute(0, 3, 1, 2)[None].float() / 255
        for name, image in images.items()
    }
    return {**frames, "observation.state": torch.from_numpy(state)[None], "task": [task]}


def training_frames(config: Any, batch: int = 3) -> Frames:
    """A random training batch of two tasks, partly padded."""
    rng = np.random.default_rng(3)
    parts = [frames_of(*random_observation(config, seed), TASKS[seed % 2]) for seed in range(batch)]
    frames: Frames = {key: torch.cat([part[key] for part in parts]) for key in parts[0] if key != "task"}
    action = rng.uniform(-0.5, 0.5, (batch, config.horizon, config.action_dim)).astype(np.float32)
    is_pad = torch.arange(config.horizon)[None] >= torch.tensor([[3], [8], [6]])
    tasks = [part["task"][0] for part in parts]
    return {**frames, "action": torch.from_numpy(action), "action_is_pad": is_pad, "task": tasks}


def compare_chunk(theirs: Theirs, ours: DiTRuntime, seed: int = 7) -> tuple[float, float]:
    """Sample a chunk with both; return the differences in normalised and in robot units."""
    config = ours.checkpoint.config
    images, state = random_observation(config)
    keys = {name: key for key, name in camera_names(config.image_features).items()}
    batch = theirs.policy._prepare_batch(theirs.before(frames_of(images, state, TASKS[1], keys)))
    torch.manual_seed(seed)
    with torch.no_grad():
        expected = theirs.policy._generate_actions(batch)  # (1, n_action_steps, A), normalised
    assert expected.std() > 0.01, "constant actions prove nothing"
    torch.manual_seed(seed)
    with torch.inference_mode():
        observation = ours.observe(images, state, TASKS[1])
        sampled = ours.engine.sample(observation)  # (1, T, A)
    first = config.n_obs_steps - 1
    sampled = sampled[:, first : first + config.n_action_steps]
    torch.manual_seed(seed)
    chunk = ours.predict(images, state, TASKS[1])[: config.n_action_steps]
    robot_units = float(np.abs(chunk - theirs.after(expected)[0].numpy()).max())
    return float((sampled - expected).abs().max()), robot_units


def compare_training(theirs: Theirs, ours: Checkpoint, frames: Frames, seed: int = 11) -> tuple[float, float]:
    """Compute the loss and gradients of a batch with both; return the relative differences."""
    torch.manual_seed(seed)
    expected, _ = theirs.policy.train()(theirs.before(dict(frames)))
    expected.backward()
    policy = ours.policy.train()
    torch.manual_seed(seed)
    loss = policy(our_batch(ours, frames))
    loss.backward()
    difference = abs(loss.item() - expected.item()) / expected.item()
    return difference, compare_gradients(dict(theirs.policy.named_parameters()), policy)


def compare_gradients(theirs: dict[str, Any], policy: torch.nn.Module) -> float:
    """The largest relative difference; the same parameters must have gradients in both."""
    ours = dict(policy.named_parameters())
    assert ours.keys() == theirs.keys()
    trained = {name for name, parameter in ours.items() if parameter.grad is not None}
    assert trained == {name for name, parameter in theirs.items() if parameter.grad is not None}
    assert any(".vision_encoder" in name for name in trained)
    assert not any(".text_encoder.text_encoder" in name for name in trained)
    largest = 0.0
    for name in trained:
        expected = theirs[name].grad
        error = (ours[name].grad - expected).abs().max()
        largest = max(largest, float(error / expected.abs().max().clamp_min(1e-6)))
    return largest


def our_batch(checkpoint: Checkpoint, frames: Frames) -> Batch:
    """Preprocess ``frames`` as LeRobot does, with our own classes."""
    scale = checkpoint.processors
    images: list[Tensor] = [scale.images[key].normalize(frames[key]) for key in scale.images]
    pool = checkpoint.policy.observation_encoder.text_encoder.pool
    return Batch(
        state=scale.state.normalize(frames["observation.state"]),
        pooled_text=pool(*checkpoint.encoder_files.tokenizer(frames["task"])),
        action=scale.action.normalize(frames["action"]),
        action_is_pad=frames["action_is_pad"],
        images=torch.stack(images, dim=2) if images else None,
    )
