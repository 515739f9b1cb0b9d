# SPDX-License-Identifier: Apache-2.0
"""Trains a policy for the simulated tasks from scratch: stills, demonstrations, policy.

Stills teach the vision encoder where the cubes are, then the observation's MLP which of them an instruction
names. The demonstrations then have to teach only the motion. The last stage is an ordinary training run that
starts from the checkpoint of the stages before it.

Every stage writes its result into the work folder and is skipped if the result is there, so an interrupted
recipe continues where it stopped. Scenes, weights and batches are seeded.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset import Demonstrations, read_demonstrations
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import NormalizationMode, PolicyConfig
from dit_policy_ros.policy.inference import resolve_device
from dit_policy_ros.sim.robot import CAMERAS, FPS
from dit_policy_ros.sim.tasks import find_task, suite
from dit_policy_ros.training.batches import BatchMaker, BatchOptions
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import RESIZED, build_demo_policy, demo_config, relative_entries
from dit_policy_ros.training.recipes._cube_demonstrations import dataset_folders, record_demonstrations
from dit_policy_ros.training.recipes._cube_pretext import NormalizedStills, train_observation, train_vision
from dit_policy_ros.training.recipes._cube_stills import render_stills
from dit_policy_ros.training.trainer import RunFolder

type Objective = Literal["diffusion", "flow_matching"]
type Train = Callable[[TrainConfig, RunFolder, bool], int]
"""Trains by options in a folder, resuming if the flag is set; returns the exit code."""

STILLS_SEED = 1  # dit_policy evaluate begins at 10000, so it never sees these scenes
INTEGRATION_STEPS = 10  # of flow matching
DROP_IDLE = 0.1  # of a joint's fast speed
NETWORK = {"observation_layers": 2, "hidden_dim": 128, "state_differences": FPS, "image_steps": 1}
TRAINING: dict[str, Any] = {
    "batch_size": 128,
    "learning_rate": 1e-3,
    "loss": "l1",
    "vision_lr_multiplier": 0.0,  # frozen, so that image features are computed once
    "observation_lr_multiplier": 0.0,  # keeps what the stills taught it
    "instruction_dropout": 0.0,
    "drop_idle": DROP_IDLE,
    "mixed_precision": "bf16",
    "checkpoint_every": 1000,
}


@dataclass(frozen=True, slots=True)
class CubeTasksConfig:
    """Options of the recipe."""

    output: Path = Path("out/cube_tasks")  # folder of the training run
    work: Path = Path("out/train_tasks")  # where the stages keep their results
    tasks: tuple[str, ...] = ()  # instructions to learn; empty: all of the suite
    stills: int = 24_000
    vision_steps: int = 8_000
    observation_steps: int = 12_000
    demonstrations: int = 80  # of each task
    objective: Objective = "diffusion"
    steps: int = 20_000  # of the policy
    device: str = "auto"
    threads: int = 2  # CPU threads, and processes that render

    @property
    def initial_checkpoint(self) -> Path:
        """The checkpoint before the policy stage; each objective has its own."""
        return self.work / {"diffusion": "start", "flow_matching": "start_flow"}[self.objective]


def run_recipe(config: CubeTasksConfig, train: Train) -> int:
    """Run all stages; returns the exit code of the policy stage.

    Raises:
        DitPolicyError: a task is unknown, or a stage fails.
    """
    torch.set_num_threads(config.threads)
    config.work.mkdir(parents=True, exist_ok=True)
    tasks = [find_task(text) for text in config.tasks] if config.tasks else suite()
    record_demonstrations(config.work, config.demonstrations, tasks, config.threads)
    make_initial_checkpoint(config)
    return train_on_demonstrations(config, train)


def make_initial_checkpoint(config: CubeTasksConfig) -> None:
    """Write a checkpoint that finds the named cube but cannot move yet."""
    if config.initial_checkpoint.is_dir():
        return
    stills = render_stills(config.work, config.stills, STILLS_SEED, config.threads)
    device = resolve_device(config.device)
    vision, image_stats = train_vision(config.work, stills, config.vision_steps, device)
    data = read_demonstrations(dataset_folders(config.work), CAMERAS, RESIZED, keep_images=False)
    stats = {
        IMAGE_PREFIX + camera: {name: value.numpy() for name, value in each.items()}
        for camera, each in zip(CAMERAS, image_stats, strict=True)
    }
    data = dataclasses.replace(data, stats={**data.stats, **stats})
    torch.manual_seed(0)
    # All tasks of the suite, even if fewer are learned: the tokenizer must know the others' words later.
    instructions = [task.instruction for task in suite()]
    policy, tokenizer = build_demo_policy(policy_config(data, config.objective), instructions)
    policy.observation_encoder.vision_encoder = vision
    batches = BatchMaker(data, policy, tokenizer, options=BatchOptions(drop_idle=DROP_IDLE))
    images = NormalizedStills(stills, image_stats, device)
    train_observation(policy, tokenizer, batches.scales[STATE_KEY], images, config.observation_steps)
    facts = CheckpointFacts(
        fps=data.fps,
        joint_names=data.state_names,
        training={"recipe": "cube_tasks", "stills": len(stills.images)},
    )
    write_checkpoint(config.initial_checkpoint, policy, batches.stats, facts, tokenizer)


def policy_config(data: Demonstrations, objective: Objective) -> PolicyConfig:
    """The demo's network, with the options that make it precise."""
    config = demo_config(data.image_sizes, data.state.shape[1], data.action.shape[1])
    # Most relative actions are a twentieth of the largest. Scaled by their range, the joints' errors would be
    # negligible beside those of the grippers, which are either open or closed.
    normalization = {**config.normalization_mapping, "ACTION": NormalizationMode.MEAN_STD}
    return dataclasses.replace(
        config,
        **NETWORK,
        objective=objective,
        num_integration_steps=INTEGRATION_STEPS,
        normalization_mapping=normalization,
        clip_sample=False,
        relative_entries=tuple(relative_entries(TrainConfig(), data)),
    )


def train_on_demonstrations(config: CubeTasksConfig, train: Train) -> int:
    """Train the policy on frozen vision features, or resume; returns the exit code."""
    folder = RunFolder(config.output)
    if folder.has_run:
        changes = {"steps": config.steps, "device": config.device}
        return train(folder.resumed_config(changes), folder, True)
    options = TrainConfig(
        dataset=tuple(str(path.resolve()) for path in dataset_folders(config.work)),
        init=str(config.initial_checkpoint),
        steps=config.steps,
        device=config.device,
        threads=config.threads,
        **TRAINING,
    )
    return train(options, folder, False)
