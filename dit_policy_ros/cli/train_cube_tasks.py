# SPDX-License-Identifier: Apache-2.0
"""Makes a policy for the whole suite from nothing: stills, vision encoder, recorded demonstrations, policy.

    dit_policy train --recipe cube_tasks --output out/cube_tasks

Every stage keeps its result in the work folder and is skipped when that is there, so an interrupted run goes
on where it stopped. The demonstrations are recorded through ROS, as `dit_policy dataset` does it. Scenes,
weights and batches are seeded.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.data.demonstrations import Demonstrations, image_stats
from dit_policy_ros.data.frame_store import FrameStore
from dit_policy_ros.data.reader import read_demonstrations
from dit_policy_ros.data.video_frames import reduce_images
from dit_policy_ros.policy.checkpoint import CheckpointFacts, load_weights
from dit_policy_ros.policy.checkpoint_writer import write_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.stills import pose_errors, pose_targets, scene_stills
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.demo_policy import (
    IMAGE_SIDE,
    RESIZED,
    build_demo_policy,
    demo_config,
    demo_vision_encoder,
)
from dit_policy_ros.training.trainer import Trainer
from dit_policy_ros.training.vision_pretext import pretrain_vision

CAMERA = "top"
DATA_SEED = 1  # dit_policy evaluate begins at 10000: its scenes never occur here
VISION_BATCH = 32
TURN_WEIGHT = 0.3  # of how cubes are turned, beside where they are

console = Console()


def parser() -> argparse.ArgumentParser:
    """Options of the recipe."""
    result = argparse.ArgumentParser(
        prog="dit_policy train --recipe cube_tasks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--output", type=Path, default=Path("out/cube_tasks"), help="the checkpoint's folder")
    result.add_argument(
        "--work", type=Path, default=Path("out/train_tasks"), help="where stages keep results"
    )
    result.add_argument("--stills", type=int, default=12_000, help="stills for the vision encoder")
    result.add_argument("--vision-steps", type=int, default=8000, help="steps on the stills, 32 at a time")
    result.add_argument("--demonstrations", type=int, default=30, help="of each task")
    result.add_argument(
        "--steps", type=int, default=16_000, help="steps of the policy on frozen vision features"
    )
    result.add_argument("--finetune-steps", type=int, default=800, help="steps of the policy end to end")
    result.add_argument("--threads", type=int, default=2, help="CPU threads")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all stages; returns the exit code."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        vision = vision_stage(options.work, options.stills, options.vision_steps)
        policy_stage(demonstration_stage(options.work, options.demonstrations), vision, options)
    except DitPolicyError as error:
        console.print(f"[red]{error}")
        return 1
    console.print(f"dit_policy evaluate --checkpoint {options.output} counts what it can do.", soft_wrap=True)
    return 0


def progress_bar() -> Progress:
    """One line that shows how far a stage is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=console)


def vision_stage(work: Path, stills: int, steps: int) -> dict[str, torch.Tensor]:
    """Weights of a vision encoder that knows where the cubes are, and the image statistics that it wants."""
    path = work / "vision.safetensors"
    if path.is_file():
        return load_file(path)
    images, targets = still_stage(work, stills)
    left = (images.shape[2] - IMAGE_SIDE) // 2
    images = images[:, :, left : left + IMAGE_SIDE]  # what is left of them after the policy's crop
    stats = {name: torch.from_numpy(value) for name, value in image_stats(images[::20]).items()}

    def normalized(frames: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(images[frames]).permute(0, 3, 1, 2).to(torch.float32)  # (B, 3, h, w)
        return (pixels / 255 - stats["mean"]) / stats["std"]

    torch.manual_seed(0)
    encoder = demo_vision_encoder()
    with progress_bar() as bar:
        line = bar.add_task("vision encoder", total=steps, note="")
        errors = pretrain_vision(
            encoder,
            normalized,
            targets,
            weights=np.array([1.0] * 6 + [TURN_WEIGHT] * 6, np.float32),
            steps=steps,
            batch_size=VISION_BATCH,
            compiled=True,
            report=lambda step, loss: bar.update(line, completed=step, note=f"loss {loss:.4f}"),
        )
    median, p95 = 1000 * np.quantile(pose_errors(errors), (0.5, 0.95))  # [mm]
    console.print(f"cubes located to {median:.1f} mm, 95% of them to {p95:.1f} mm, in held-out stills")
    save_file({**encoder.state_dict(), **{f"stats.{name}": value for name, value in stats.items()}}, path)
    return load_file(path)


def still_stage(work: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Stills uint8 (M, h, w, 3) in random order, and where the cubes are (M, 12)."""
    path = work / "stills.npz"
    if not path.is_file():
        images = np.empty((count, *RESIZED, 3), np.uint8)
        targets = np.empty((count, 12), np.float32)
        order = np.random.default_rng(DATA_SEED).permutation(count)  # the last ones are held out
        with progress_bar() as bar, BimanualSim(DATA_SEED) as sim:
            line = bar.add_task("stills", total=count, note="")
            for i, scene in zip(order, scene_stills(sim, count, DATA_SEED, CAMERA), strict=True):
                images[i] = reduce_images(scene.images[CAMERA][None], RESIZED)[0]
                targets[i] = pose_targets(scene.cubes)
                bar.update(line, advance=1)
        np.savez(path, images=images, targets=targets)
    stored = np.load(path)
    return stored["images"], stored["targets"]


def demonstration_stage(work: Path, demonstrations: int) -> Demonstrations:
    """The scripted operator's demonstrations, recorded through ROS into a LeRobotDataset."""
    from dit_policy_ros.cli import dataset

    root, done = work / "dataset", work / "dataset.done"
    if not done.is_file():
        asked = ["--output", str(root), "--demonstrations", str(demonstrations), "--cameras", CAMERA]
        code = dataset.main([*asked, "--seed", str(DATA_SEED), "--logs", str(work / "dataset_logs")])
        if code:
            raise DitPolicyError(f"the demonstrations were not recorded: exit code {code}")
        done.write_text(f"{demonstrations} of each task\n")
    with progress_bar() as bar:
        line = bar.add_task("reading", total=None, note="")
        return read_demonstrations(
            root,
            (CAMERA,),
            RESIZED,
            lambda n, total: bar.update(line, completed=n, total=total),
            FrameStore(work / "frames"),
        )


def policy_stage(data: Demonstrations, vision: dict[str, torch.Tensor], options: argparse.Namespace) -> None:
    """Behaviour cloning: first with the vision encoder frozen and its features stored, then end to end."""
    key = f"observation.images.{CAMERA}"
    wanted = {
        name.removeprefix("stats."): t.numpy() for name, t in vision.items() if name.startswith("stats.")
    }
    data = dataclasses.replace(data, stats={**data.stats, key: wanted})
    torch.manual_seed(0)
    policy, tokenizer = build_demo_policy(
        demo_config(data.image_shapes, data.state.shape[1], data.action.shape[1]), data.tasks
    )
    encoder = {name: tensor for name, tensor in vision.items() if not name.startswith("stats.")}
    policy.observation_encoder.vision_encoder.load_state_dict(encoder)
    batches = BatchMaker(data, policy, tokenizer)
    frozen = TrainConfig(
        steps=options.steps,
        batch_size=64,
        learning_rate=1e-3,
        vision_lr_multiplier=0.0,
        checkpoint_every=1000,
    )
    whole = TrainConfig(
        steps=options.finetune_steps,
        batch_size=32,
        learning_rate=2e-4,
        vision_lr_multiplier=0.1,
        checkpoint_every=200,
    )
    begun = time.monotonic()
    for name, config in (("policy, vision frozen", frozen), ("policy, end to end", whole)):
        path = options.work / name.replace(",", "").replace(" ", "_")
        losses: list[float] = []

        def save(network: DiTPolicy, step: int, path: Path = path, losses: list[float] = losses) -> None:
            facts = CheckpointFacts(
                fps=data.fps,
                joint_names=data.joint_names,
                known_tasks=data.tasks,
                training={
                    "recipe": "cube_tasks",
                    "demonstrations": int(data.episode_index[-1]) + 1,
                    "frames": len(data.state),
                    "step": step,
                    "loss": round(float(np.mean(losses[-200:])), 6),
                },
            )
            for folder in (path, options.output):
                write_checkpoint(folder, network, batches.stats, facts, tokenizer)

        if not (path.with_suffix(".done")).is_file():
            trainer = Trainer(policy, batches, config)
            with progress_bar() as bar:
                line = bar.add_task(name, total=config.steps, note="")

                def report(now, bar: Progress = bar, line=line, losses: list[float] = losses) -> None:
                    losses.append(now.loss)
                    bar.update(line, completed=now.step, note=f"loss {np.mean(losses[-100:]):.5f}")

                trainer.run(report, save)
            path.with_suffix(".done").write_text(f"{time.monotonic() - begun:.0f} s\n")
        load_weights(policy, path / "model.safetensors")


if __name__ == "__main__":
    sys.exit(main())
