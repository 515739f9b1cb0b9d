# SPDX-License-Identifier: Apache-2.0
"""Makes the demo's checkpoint from nothing: stills, vision encoder, demonstrations, policy, success rate.

    dit_policy train --recipe touch_cubes --output checkpoints/touch_cubes

Every stage keeps its result in the work folder and is skipped when that is there, so an interrupted run goes
on where it stopped. All randomness is seeded.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file

from dit_policy_ros.cli.lockstep import Trial, run_trials
from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.data.demonstrations import Demonstrations, image_stats
from dit_policy_ros.data.reader import read_demonstrations
from dit_policy_ros.data.video_frames import reduce_images
from dit_policy_ros.data.writer import DatasetWriter
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, load_weights
from dit_policy_ros.policy.checkpoint_writer import write_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.sim.demonstrate import FPS, Settings, demonstrate
from dit_policy_ros.sim.robot import JOINTS, BimanualSim
from dit_policy_ros.sim.scenes import sample_scenes
from dit_policy_ros.sim.tasks import demo_tasks
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
IMAGE = (240, 320)  # height, width [pixel]
ROBOT_TYPE = "bimanual_sim"
DATA_SEED, EVALUATION_SEED = 1, 10_000  # scenes of the evaluation never occur in the data

console = Console()


def parser() -> argparse.ArgumentParser:
    """Options of the recipe; the defaults made the checkpoint that is shipped."""
    result = argparse.ArgumentParser(
        prog="dit_policy train --recipe touch_cubes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--output", type=Path, default=Path("out/touch_cubes"), help="the checkpoint's folder"
    )
    result.add_argument("--work", type=Path, default=Path("out/train_demo"), help="where stages keep results")
    result.add_argument("--stills", type=int, default=8000, help="random stills for the vision encoder")
    result.add_argument("--vision-steps", type=int, default=2500, help="steps on the stills, 64 at a time")
    result.add_argument("--episodes", type=int, default=600, help="scripted demonstrations")
    result.add_argument(
        "--steps", type=int, default=5000, help="steps of the policy on frozen vision features"
    )
    result.add_argument("--finetune-steps", type=int, default=500, help="steps of the policy end to end")
    result.add_argument(
        "--scenes", type=int, default=25, help="unseen scenes of the evaluation, two tasks each"
    )
    result.add_argument("--threads", type=int, default=2, help="CPU threads")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all stages; returns the exit code."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        vision = vision_stage(options.work, options.stills, options.vision_steps)
        data = demonstration_stage(options.work, options.episodes)
        policy_stage(data, vision, options)
        evaluation_stage(options.output, options.scenes)
    except DitPolicyError as error:
        console.print(f"[red]{error}")
        return 1
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
    images, cubes = still_stage(work, stills)
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
            cubes,
            steps=steps,
            report=lambda step, loss: bar.update(line, completed=step, note=f"loss {loss:.4f}"),
        )
    distances = np.linalg.norm(errors.reshape(len(errors), -1, 2), axis=-1)  # (M, cubes) [m]
    console.print(f"cubes located to {1000 * np.median(distances):.1f} mm (median of held-out stills)")
    save_file({**encoder.state_dict(), **{f"stats.{name}": value for name, value in stats.items()}}, path)
    return load_file(path)


def still_stage(work: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random stills uint8 (M, h, w, 3) and where the cubes are (M, 6) [m]."""
    path = work / "stills.npz"
    if not path.is_file():
        images = np.empty((count, *RESIZED, 3), np.uint8)
        cubes = np.empty((count, 6), np.float32)
        with progress_bar() as bar, BimanualSim(DATA_SEED) as sim:
            line = bar.add_task("stills", total=count, note="")
            for i, scene in enumerate(sample_scenes(sim, count, DATA_SEED, (CAMERA,))):
                images[i] = reduce_images(scene.images[CAMERA][None], RESIZED)[0]
                cubes[i] = scene.cubes[:, :2].ravel()
                bar.update(line, completed=i + 1)
        np.savez(path, images=images, cubes=cubes)
    stored = np.load(path)
    return stored["images"], stored["cubes"]


def demonstration_stage(work: Path, episodes: int) -> Demonstrations:
    """The scripted operator's episodes, through a LeRobotDataset on disk."""
    root, done = work / "dataset", work / "dataset.done"
    if not done.is_file():
        if root.exists():
            raise DitPolicyError(
                f"{root} is incomplete (an earlier run was interrupted); remove it and start again"
            )
        camera = Camera(CAMERA, f"/{CAMERA}/image_raw", *IMAGE, max_age=0.5)
        writer = DatasetWriter(root, FPS, [camera], JOINTS, ROBOT_TYPE)
        with progress_bar() as bar:
            line = bar.add_task("demonstrations", total=episodes, note="")
            for episode in demonstrate(episodes, DATA_SEED, Settings(cameras=(CAMERA,))):
                for frame in episode.frames:
                    writer.add_frame(frame.images, frame.state, frame.action, episode.task.instruction)
                writer.save_episode()
                bar.update(line, advance=1)
        writer.finalize()
        done.write_text(f"{episodes} episodes\n")
    with progress_bar() as bar:
        line = bar.add_task("reading", total=None, note="")
        return read_demonstrations(
            root, (CAMERA,), RESIZED, lambda n, total: bar.update(line, completed=n, total=total)
        )


def policy_stage(data: Demonstrations, vision: dict[str, torch.Tensor], options: argparse.Namespace) -> None:
    """Behaviour cloning: first with the vision encoder frozen and its features stored, then end to end."""
    key = f"observation.images.{CAMERA}"
    wanted = {
        name.removeprefix("stats."): t.numpy() for name, t in vision.items() if name.startswith("stats.")
    }
    data = dataclasses.replace(data, stats={**data.stats, key: wanted})
    torch.manual_seed(0)
    policy, tokenizer = build_demo_policy(demo_config({CAMERA: IMAGE}, len(JOINTS), len(JOINTS)), data.tasks)
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
                    "recipe": "touch_cubes",
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


def evaluation_stage(checkpoint: Path, scenes: int) -> None:
    """Success rate in lock-step on scenes that were never shown."""
    trials: list[Trial] = []
    with progress_bar() as bar:
        line = bar.add_task("evaluation", total=2 * scenes, note="")

        def report(trial: Trial) -> None:
            trials.append(trial)
            bar.update(line, advance=1, note=f"{sum(t.touched for t in trials)} touched")

        seeds = range(EVALUATION_SEED, EVALUATION_SEED + scenes)
        for _ in run_trials(load_policy(checkpoint), demo_tasks(), seeds, report=report):
            pass
    rate = sum(trial.touched for trial in trials) / max(1, len(trials))
    console.print(f"success rate {rate:.0%} of {len(trials)} instructions in {scenes} unseen scenes")
    summary = {
        "success_rate": rate,
        "trials": len(trials),
        "seeds": [EVALUATION_SEED, EVALUATION_SEED + scenes - 1],
    }
    path = checkpoint.parent / f"{checkpoint.name}_evaluation.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
