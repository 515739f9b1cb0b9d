# SPDX-License-Identifier: Apache-2.0
"""Makes a policy for the simulated tasks from nothing: stills, demonstrations, policy.

    dit_policy train --recipe cube_tasks --output out/cube_tasks

Stills teach the vision encoder where the cubes are, then the observation's MLP which of them an instruction
names; with both the demonstrations have only the motion left to teach. The last stage is `dit_policy train`
from the checkpoint of the stages before it.

Every stage keeps its result in its folder and is skipped when that is there, so an interrupted run goes
on where it stopped. Scenes, weights and batches are seeded.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset import Demonstrations, read_demonstrations
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import NormalizationMode, PolicyConfig
from dit_policy_ros.policy.inference import resolve_device
from dit_policy_ros.sim.robot import CAMERAS, FPS
from dit_policy_ros.sim.tasks import find_task, suite
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import RESIZED, build_demo_policy, demo_config, relative_entries
from dit_policy_ros.training.recipes._cube_demonstrations import datasets, demonstration_stage
from dit_policy_ros.training.recipes._cube_pretext import observation_stage, vision_stage
from dit_policy_ros.training.recipes._cube_stills import still_stage
from dit_policy_ros.training.recipes._stage_progress import console
from dit_policy_ros.training.trainer import CONFIG_FILE

type Objective = Literal["diffusion", "flow_matching"]
type Train = Callable[[Sequence[str]], int]  # `dit_policy train` with options; returns its exit code

STILLS_SEED = 1  # dit_policy evaluate begins at 10000: its scenes never occur here
INTEGRATION_STEPS = 10  # of flow matching
DROP_IDLE = 0.1  # of a joint's fast speed
NETWORK = {"observation_layers": 2, "hidden_dim": 128, "state_differences": FPS, "image_steps": 1}
TRAINING = {
    "batch-size": 128,
    "learning-rate": 1e-3,
    "loss": "l1",
    "vision-lr-multiplier": 0.0,  # its features are computed once
    "observation-lr-multiplier": 0.0,  # keeps what stills taught it
    "instruction-dropout": 0.0,
    "drop-idle": DROP_IDLE,
    "mixed-precision": "bf16",
    "checkpoint-every": 1000,
}


def parser() -> argparse.ArgumentParser:
    """Options of the recipe."""
    result = argparse.ArgumentParser(
        prog="dit_policy train --recipe cube_tasks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--output", type=Path, default=Path("out/cube_tasks"), help="folder of the run")
    result.add_argument(
        "--work", type=Path, default=Path("out/train_tasks"), help="where stages keep results"
    )
    result.add_argument("--tasks", nargs="+", metavar="TEXT", help="instructions to learn; default: all")
    result.add_argument("--stills", type=int, default=24_000, help="stills of the simulator")
    result.add_argument("--vision-steps", type=int, default=8_000, help="steps on stills, 48 at a time")
    result.add_argument("--observation-steps", type=int, default=12_000, help="on stills with instructions")
    result.add_argument("--demonstrations", type=int, default=80, help="of each task")
    result.add_argument(
        "--objective", choices=("diffusion", "flow_matching"), default="diffusion", help="of the policy"
    )
    result.add_argument("--steps", type=int, default=20_000, help="steps of the policy, 128 chunks at a time")
    result.add_argument(
        "--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU if there is one"
    )
    result.add_argument("--threads", type=int, default=2, help="CPU threads, and processes that render")
    return result


def run_recipe(arguments: Sequence[str], train: Train) -> int:
    """Run all stages; returns the exit code."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        tasks = [find_task(text) for text in options.tasks] if options.tasks else suite()
        demonstration_stage(options.work, options.demonstrations, tasks, options.threads)
        start_stage(options)
        code = policy_stage(options, train)
    except DitPolicyError as error:
        console.print(f"[red]{error}")
        return 1
    if code == 0:
        found = options.output / "checkpoints" / "last" / "pretrained_model"
        console.print(f"dit_policy evaluate --checkpoint {found} counts what it can do.", soft_wrap=True)
    return code


def start_stage(options: argparse.Namespace) -> None:
    """A checkpoint that sees and understands, and has not learned to move."""
    folder = start_folder(options)
    if folder.is_dir():
        return
    stills = still_stage(options.work, options.stills, STILLS_SEED, options.threads)
    device = resolve_device(options.device)
    vision, image_stats = vision_stage(options.work, stills, options.vision_steps, device)
    data = read_demonstrations(datasets(options.work), CAMERAS, RESIZED, keep_images=False)
    measured = {
        IMAGE_PREFIX + camera: {name: value.numpy() for name, value in each.items()}
        for camera, each in zip(CAMERAS, image_stats, strict=True)
    }
    data = dataclasses.replace(data, stats={**data.stats, **measured})
    torch.manual_seed(0)
    # All tasks of the suite, whichever are learned first: the words of the others must not be unknown later.
    instructions = [task.instruction for task in suite()]
    policy, tokenizer = build_demo_policy(policy_config(data, options.objective), instructions)
    policy.observation_encoder.vision_encoder = vision
    batches = BatchMaker(data, policy, tokenizer, drop_idle=DROP_IDLE)
    scale = batches.scales[STATE_KEY]
    observation_stage(policy, tokenizer, scale, stills, image_stats, options.observation_steps, device)
    facts = CheckpointFacts(
        fps=data.fps,
        joint_names=data.joint_names,
        known_tasks=data.tasks,
        training={"recipe": "cube_tasks", "stills": len(stills.images)},
    )
    write_checkpoint(folder, policy, batches.stats, facts, tokenizer)


def start_folder(options: argparse.Namespace) -> Path:
    """Where the checkpoint that has not learned to move is kept, one of each objective."""
    return options.work / {"diffusion": "start", "flow_matching": "start_flow"}[options.objective]


def policy_config(data: Demonstrations, objective: Objective) -> PolicyConfig:
    """The demo's network, with what makes it precise."""
    config = demo_config(data.image_shapes, data.state.shape[1], data.action.shape[1])
    # Most relative actions are a twentieth of the largest. Scaled by that, the joints' errors would be lost
    # beside those of the grippers, which have only two places to be in.
    scaled = {**config.normalization_mapping, "ACTION": NormalizationMode.MEAN_STD}
    return dataclasses.replace(
        config,
        **NETWORK,
        objective=objective,
        num_integration_steps=INTEGRATION_STEPS,
        normalization_mapping=scaled,
        clip_sample=False,
        relative_entries=tuple(relative_entries(TrainConfig(), data)),
    )


def policy_stage(options: argparse.Namespace, train: Train) -> int:
    """`dit_policy train`, on frozen vision features; returns its exit code."""
    asked = ["--output", str(options.output), "--steps", str(options.steps), "--device", options.device]
    if (options.output / CONFIG_FILE).is_file():
        return train([*asked, "--resume"])
    asked += ["--init", str(start_folder(options)), "--threads", str(options.threads)]
    asked += ["--dataset", *map(str, datasets(options.work))]
    given = [part for name, value in TRAINING.items() for part in (f"--{name}", str(value))]
    return train([*asked, *given])
