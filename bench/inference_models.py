# SPDX-License-Identifier: Apache-2.0
"""The two models of bench_inference.py with random weights, as our policy and as LeRobot's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from default_model import default_config, default_vision, open_gates
from lerobot.configs import PreTrainedConfig
from lerobot.policies.factory import make_pre_post_processors
from lerobot.policies.multi_task_dit.modeling_multi_task_dit import MultiTaskDiTPolicy
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTextConfig, CLIPVisionConfig
from transformers.utils import logging as transformers_logging

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, read_checkpoint, relocate, write_checkpoint
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.inference import DiTRuntime
from dit_policy_ros.policy.processing import Stats
from dit_policy_ros.sim.tasks import suite
from dit_policy_ros.training.new_policy import build_demo_policy, demo_config

transformers_logging.set_verbosity_error()  # it reports that half of each CLIP model is unused
transformers_logging.disable_progress_bar()

TASKS = tuple(task.instruction for task in suite())
Observation = tuple[dict[str, NDArray[np.uint8]], NDArray[np.float32]]


class Theirs:
    """LeRobot's policy, loaded from our checkpoint."""

    def __init__(self, folder: Path, device: str, scheduler: str, steps: int, task: str) -> None:
        config: Any = PreTrainedConfig.from_pretrained(folder)
        config.noise_scheduler_type, config.num_inference_steps = scheduler, steps
        config.device = device
        self.policy: Any = MultiTaskDiTPolicy.from_pretrained(folder, config=config, strict=True).eval()
        self.before, self.after = make_pre_post_processors(
            config,
            pretrained_path=str(folder),
            preprocessor_overrides={"device_processor": {"device": device}},
        )
        self.task = task

    def batch(self, images: dict[str, NDArray[np.uint8]], state: NDArray[np.float32]) -> dict[str, Any]:
        """An observation, preprocessed for LeRobot's policy."""
        frames: dict[str, Any] = {
            IMAGE_PREFIX + name: torch.from_numpy(image).permute(0, 3, 1, 2)[None].float() / 255
            for name, image in images.items()
        }
        return self.policy._prepare_batch(
            self.before({**frames, STATE_KEY: torch.from_numpy(state)[None], "task": [self.task]})
        )

    def chunk(self, images: dict[str, NDArray[np.uint8]], state: NDArray[np.float32]) -> Tensor:
        """From arrays to a chunk of actions in robot units."""
        with torch.inference_mode():
            return self.after(self.policy._generate_actions(self.batch(images, state)))

    def loop(self) -> Callable[[], Tensor]:
        """The denoising loop alone."""
        width, device = self.policy.observation_encoder.conditioning_dim, self.policy.config.device
        observation = torch.randn(1, width, device=device)

        def run() -> Tensor:
            with torch.inference_mode():
                return self.policy.objective.conditional_sample(self.policy.noise_predictor, 1, observation)

        return run


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint, and the facts about it that the measurements need."""

    name: str
    folder: Path
    config: PolicyConfig
    vision: CLIPVisionConfig
    task: str
    device: str

    @property
    def frames(self) -> int:
        """Number of frames in one observation."""
        return len(self.config.image_features) * self.config.read_image_steps

    def ours(self, scheduler: str, steps: int, dtype: str = "float32", **options: Any) -> DiTRuntime:
        """Our policy."""
        return load_policy(
            self.folder,
            self.device,
            noise_scheduler_type=scheduler,
            num_inference_steps=steps,
            dtype=dtype,
            **options,
        )

    def theirs(self, scheduler: str, steps: int) -> Theirs:
        """LeRobot's policy."""
        return Theirs(self.folder, self.device, scheduler, steps, self.task)

    def observation(self, seed: int) -> Observation:
        """An observation with frames of its own for each seed."""
        rng = np.random.default_rng(seed)
        images = {
            key.removeprefix(IMAGE_PREFIX): rng.integers(
                0, 256, (self.config.n_obs_steps, *feature.shape[1:], 3), dtype=np.uint8
            )
            for key, feature in self.config.image_features.items()
        }
        state = rng.uniform(-0.5, 0.5, (self.config.n_obs_steps, self.config.state_dim))
        return images, state.astype(np.float32)

    def shared_observation(self, seed: int) -> Observation:
        """An observation whose older frames are the newest ones of the previous seed."""
        (images, state), (older, _) = self.observation(1000 + seed), self.observation(999 + seed)
        for name, image in images.items():
            image[:-1] = older[name][1:]
        return images, state

    def loop(self, policy: DiTRuntime) -> Callable[[], Tensor]:
        """Our denoising loop alone, the observation's half of the conditioning included."""
        observation = torch.randn(1, policy.module.observation_encoder.output_dim, device=policy.device)

        def run() -> Tensor:
            with torch.inference_mode():
                return policy.engine.sample(observation)

        return run

    def difference(self, theirs: Theirs, ours: DiTRuntime) -> float:
        """Largest difference between the two chunks for the same noise, in normalised units."""
        images, state = self.observation(12345)
        torch.manual_seed(0)
        with torch.inference_mode():
            expected = theirs.policy._generate_actions(theirs.batch(images, state))
        torch.manual_seed(0)
        with torch.inference_mode():
            got = ours.engine.sample(ours.observe(images, state, self.task))
        first = self.config.n_obs_steps - 1
        return float((got[:, first : first + self.config.n_action_steps] - expected).abs().max())


def small_model(folder: Path, device: str) -> Model:
    """The network of ``train --network small``, one camera, random weights. LeRobot loads it too."""
    config = demo_config({"observation.images.top": (240, 320)}, 14, 14)
    torch.manual_seed(0)
    policy, tokenizer = build_demo_policy(config, TASKS)
    open_gates(policy.eval())
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS)
    written = write_checkpoint(folder / "small", policy, _unit_stats(config), facts, tokenizer)
    return Model("small", relocate(written), config, vision_of(policy), TASKS[0], device)


def lerobot_default(folder: Path, device: str) -> Model:
    """LeRobot's defaults: ViT-B/16, two cameras, two observation steps, 14 joints; random weights."""
    tokenizer = read_checkpoint(default_checkpoint()).encoder_files.tokenizer
    config, vision = default_config(), default_vision()
    tokens = tokenizer.tokenizer
    text = CLIPTextConfig(
        vocab_size=len(tokens),  # the rest is the class's default
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    torch.manual_seed(0)
    policy = DiTPolicy(config, vision, text).eval()
    open_gates(policy)
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS)
    written = write_checkpoint(folder / "default", policy, _unit_stats(config), facts, tokenizer)
    return Model("default", relocate(written), config, vision, TASKS[0], device)


def _unit_stats(config: PolicyConfig) -> Stats:
    """Statistics with which normalisation changes nothing."""
    shapes = {STATE_KEY: (config.state_dim,), ACTION_KEY: (config.action_dim,)}
    shapes |= dict.fromkeys(config.image_features, (3, 1, 1))
    return {
        key: {"mean": torch.zeros(d), "std": torch.ones(d), "min": -torch.ones(d), "max": torch.ones(d)}
        for key, d in shapes.items()
    }


def vision_of(policy: DiTPolicy) -> CLIPVisionConfig:
    """Architecture of the vision encoder, the first if there are several."""
    encoder = policy.observation_encoder.first_vision_encoder
    if encoder is None:
        raise ValueError("the model has no cameras")
    return encoder.model.config
