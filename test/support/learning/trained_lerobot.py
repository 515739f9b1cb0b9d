# SPDX-License-Identifier: Apache-2.0
"""Small ACT and diffusion policies of LeRobot that have learned to touch a cube in the simulator."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import image_stats, vector_stats
from dit_policy_ros.sim.operator import Disturbance, Operator
from dit_policy_ros.sim.robot import FPS, JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import Judge, find_task, move_for_period

TASK = "touch the red cube with the left arm"
CAMERA, HEIGHT, WIDTH = "top", 36, 48
CHUNK = 16
LINGER = 15  # frames after success
_ARM_JITTER = 0.05  # [rad], as `dit_policy evaluate` begins its episodes
_NETWORKS: dict[str, dict[str, Any]] = {
    "act": {
        "chunk_size": CHUNK,
        "n_action_steps": CHUNK,
        "dim_model": 64,
        "n_heads": 4,
        "dim_feedforward": 128,
        "n_encoder_layers": 2,
        "use_vae": False,
        "dropout": 0.0,
    },
    "diffusion": {
        "horizon": CHUNK,
        "n_action_steps": 8,
        "down_dims": (64, 128),
        "diffusion_step_embed_dim": 32,
        "spatial_softmax_num_keypoints": 16,
        "noise_scheduler_type": "DDIM",
        "prediction_type": "sample",
        "num_train_timesteps": 50,
        "num_inference_steps": 10,
        "crop_ratio": 1.0,
    },
}


@dataclass(frozen=True, slots=True)
class Recording:
    """Demonstrations, one after another. Shapes: M frames.

    images: uint8 (M, H, W, 3). state, action: float32 (M, 14). episode: (M,).
    """

    images: NDArray[np.uint8]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    episode: NDArray[np.int64]


def demonstrate(scenes: range, each: int) -> Recording:
    """The scripted operator touches the cube ``each`` times in each scene, disturbed otherwise every time."""
    task, parts = find_task(TASK), []
    with BimanualSim(scenes.start, width=WIDTH, height=HEIGHT) as sim:
        for number, scene in enumerate(scene for scene in scenes for _ in range(each)):
            rng = np.random.default_rng(number)
            sim.reset(seed=scene, arm_jitter=_ARM_JITTER)
            operator, error, judge = Operator(rng), Disturbance(rng, 0.01), Judge(task)
            operator.begin(sim, task)
            action, start_ns, left, frames = operator.target, sim.time_ns, LINGER, []
            while left and len(frames) < task.time_limit * FPS:
                frames.append((sim.render(CAMERA)[CAMERA], sim.joint_positions, action))
                action = operator.act(sim)
                for instant in move_for_period(sim, action + error.step(), start_ns, len(frames) - 1):
                    judge.observe(instant)
                left -= judge.done
            if judge.done:
                parts.append((number, frames))
    rows = [(number, *frame) for number, frames in parts for frame in frames]
    episode, images, state, action = zip(*rows, strict=True)
    return Recording(
        np.stack(images),
        np.stack(state).astype(np.float32),
        np.stack(action).astype(np.float32),
        np.array(episode),
    )


def train(folder: Path, kind: str, recording: Recording, steps: int, batch: int = 12) -> Path:
    """Train a policy of LeRobot with its own loss, and save it as LeRobot does, with our facts beside it."""
    key = f"observation.images.{CAMERA}"
    config = make_policy_config(
        kind,
        device="cpu",
        pretrained_backbone_weights=None,
        input_features={
            key: PolicyFeature(FeatureType.VISUAL, (3, HEIGHT, WIDTH)),
            "observation.state": PolicyFeature(FeatureType.STATE, (len(JOINTS),)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (len(JOINTS),))},
        **_NETWORKS[kind],
    )
    stats = {
        key: image_stats(recording.images),
        "observation.state": vector_stats(recording.state),
        "action": vector_stats(recording.action),
    }
    torch.manual_seed(0)
    policy = get_policy_class(kind)(config).train()
    processors = make_pre_post_processors(config, dataset_stats=stats)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-4, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        frames = sample(recording, rng, batch, config.n_obs_steps, list(config.action_delta_indices), key)
        loss, _ = policy(processors[0](frames))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    for part in (policy.eval(), *processors):
        part.save_pretrained(folder)
    facts = {"format": 1, "fps": FPS, "joint_names": list(JOINTS), "known_tasks": [TASK]}
    (folder / "dit_policy_ros.json").write_text(json.dumps(facts))
    return folder


def sample(
    recording: Recording, rng: np.random.Generator, batch: int, seen: int, acted: list[int], key: str
) -> dict[str, Any]:
    """A batch as LeRobot's data loader gives it; frames before and after an episode repeat its ends."""
    now = rng.integers(0, len(recording.state), batch)  # (B,)
    first = np.searchsorted(recording.episode, recording.episode[now])  # (B,)
    last = np.searchsorted(recording.episode, recording.episode[now], side="right") - 1  # (B,)

    def rows(offsets: list[int]) -> NDArray[np.int64]:
        return np.clip(now[:, None] + np.array(offsets), first[:, None], last[:, None])  # (B, offsets)

    observed, future = rows(list(range(1 - seen, 1))), rows(acted)
    images = torch.from_numpy(recording.images[observed]).permute(0, 1, 4, 2, 3).float() / 255
    state = torch.from_numpy(recording.state[observed])  # (B, S, 14)
    if seen == 1:
        images, state = images[:, 0], state[:, 0]
    beyond = now[:, None] + np.array(acted) > last[:, None]  # (B, T)
    return {
        key: images,
        "observation.state": state,
        "action": torch.from_numpy(recording.action[future]),
        "action_is_pad": torch.from_numpy(beyond),
        "task": [TASK] * batch,
    }
