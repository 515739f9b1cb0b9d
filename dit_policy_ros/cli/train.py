# SPDX-License-Identifier: Apache-2.0
"""`dit_policy train`: a policy from a LeRobotDataset."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.data.demonstrations import Demonstrations
from dit_policy_ros.data.reader import read_demonstrations
from dit_policy_ros.policy.checkpoint import CheckpointFacts, read_checkpoint
from dit_policy_ros.policy.checkpoint_writer import write_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.tasks import TaskTokenizer
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.demo_policy import RESIZED, build_demo_policy, demo_config
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer import Trainer

RECIPES = {"touch_cubes": "dit_policy_ros.cli.train_demo"}

EPILOG = """\
examples:
  a small policy from scratch, from what the recorder wrote
    dit_policy train --dataset ~/datasets/pick --output out/pick
  the same network trained further on more data
    dit_policy train --dataset ~/datasets/more --init out/pick --output out/pick2 --learning-rate 1e-4
  the checkpoint of the demo, from nothing (about an hour on two cores)
    dit_policy train --recipe touch_cubes --output checkpoints/touch_cubes

The dataset is a LeRobotDataset v3 folder: states, actions, one video per camera, one instruction per frame.
The output is a checkpoint in LeRobot's multi_task_dit format that carries its encoders and tokenizer with it;
it is replaced as a whole every --checkpoint-every steps, so it can be tried while training goes on:
    dit_policy policy_node --ros-args --params-file config/bimanual.yaml -p checkpoint:=out/pick
"""


def parser() -> argparse.ArgumentParser:
    """The command line; every field of TrainConfig is an option."""
    result = argparse.ArgumentParser(
        prog="dit_policy train",
        description="Train a Multitask DiT policy by behaviour cloning.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--dataset", type=Path, required=True, help="folder of a LeRobotDataset v3")
    result.add_argument("--output", type=Path, required=True, help="folder of the checkpoint to write")
    result.add_argument("--init", type=Path, help="checkpoint whose network and options to start from")
    result.add_argument(
        "--recipe", choices=sorted(RECIPES), help="make a known checkpoint; takes its own options"
    )
    result.add_argument(
        "--cameras", nargs="+", metavar="NAME", help="cameras to use; default: all of the dataset"
    )
    result.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="CPU threads (%(default)s)"
    )
    group = result.add_argument_group("training")
    for option in dataclasses.fields(TrainConfig):
        flag, text = "--" + option.name.replace("_", "-"), f"{option.metadata['help']} (%(default)s)"
        group.add_argument(flag, type=type(option.default), default=option.default, help=text)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit code: 0 done, 1 a mistake that the message names, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--recipe" in arguments[:-1]:
        return _run_recipe(arguments)
    options = parser().parse_args(arguments)
    console = Console()
    try:
        return train(options, console)
    except DitPolicyError as error:
        console.print(f"dit_policy train: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print(f"interrupted; the last checkpoint is in {options.output}")
        return 130


def _run_recipe(arguments: list[str]) -> int:
    import importlib

    place = arguments.index("--recipe")
    name = arguments[place + 1]
    if name not in RECIPES:
        print(
            f"dit_policy train: unknown recipe {name!r}; valid names: {', '.join(RECIPES)}", file=sys.stderr
        )
        return 2
    return importlib.import_module(RECIPES[name]).main(arguments[:place] + arguments[place + 2 :])


def train(options: argparse.Namespace, console: Console) -> int:
    """One training run with parsed options."""
    config = TrainConfig(
        **{field.name: getattr(options, field.name) for field in dataclasses.fields(TrainConfig)}
    )
    if options.threads < 1:
        raise TrainingError(f"--threads: expected at least 1, got {options.threads}")
    torch.set_num_threads(options.threads)
    start = read_checkpoint(options.init) if options.init else None
    cameras = tuple(options.cameras) if options.cameras else None
    size = RESIZED
    if start is not None:
        cameras = cameras or tuple(key.rsplit(".", 1)[-1] for key in start.config.image_features)
        size = start.config.image_resize_shape
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bar:
        reading = bar.add_task("reading", total=None, note="")
        data = read_demonstrations(
            options.dataset, cameras, size, lambda n, total: bar.update(reading, completed=n, total=total)
        )
        torch.manual_seed(config.seed)
        if start is None:
            shape = demo_config(data.image_shapes, data.state.shape[1], data.action.shape[1])
            policy, tokenizer = build_demo_policy(shape, data.tasks)
        else:
            policy, tokenizer = start.policy, start.clip.tokenizer
        trainer = Trainer(policy, BatchMaker(data, policy, tokenizer), config)
        line, losses = bar.add_task("training", total=config.steps, note=""), []

        def report(now) -> None:
            losses.append(now.loss)
            bar.update(line, completed=now.step, note=f"loss {np.mean(losses[-100:]):.5f}")

        trainer.run(
            report,
            lambda network, step: _save(options.output, network, step, losses, trainer, data, tokenizer),
        )
    console.print(f"trained {config.steps} steps on {len(data.state)} frames; checkpoint: {options.output}")
    return 0


def _save(
    output: Path,
    network: DiTPolicy,
    step: int,
    losses: list[float],
    trainer: Trainer,
    data: Demonstrations,
    tokenizer: TaskTokenizer,
) -> None:
    history = {"step": step, "loss": round(float(np.mean(losses[-200:])), 6), "frames": len(data.state)}
    history |= {"options": json.loads(json.dumps(dataclasses.asdict(trainer.config)))}
    facts = CheckpointFacts(
        fps=data.fps, joint_names=data.joint_names, known_tasks=data.tasks, training=history
    )
    write_checkpoint(output, network, trainer.batches.stats, facts, tokenizer)


if __name__ == "__main__":
    sys.exit(main())
