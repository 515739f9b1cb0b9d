# SPDX-License-Identifier: Apache-2.0
"""`dit_policy train`: a policy from LeRobotDatasets."""

import argparse
import importlib
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dit_policy_ros.cli.train_options import parser, read_options
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.data.dataset import Demonstrations, FrameStore, read_demonstrations
from dit_policy_ros.policy.checkpoint import Checkpoint, read_checkpoint
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import reading_size, start_of
from dit_policy_ros.training.trainer import (
    Run,
    RunFolder,
    Scores,
    Trainer,
    can_cache_features,
    make_accelerator,
)

RECIPES = {"cube_tasks": "dit_policy_ros.training.recipes"}  # imported when asked for: it needs MuJoCo


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit code: 0 done, 1 a mistake that the message names, 130 stopped early."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--recipe" in arguments[:-1]:
        return _run_recipe(arguments)
    options = parser(tuple(RECIPES)).parse_args(arguments)
    console = Console()
    try:
        return train(options, console)
    except (DitPolicyError, OSError) as error:
        console.print(f"dit_policy train: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; --resume goes on from the last checkpoint, if there is one")
        return 130


def _run_recipe(arguments: list[str]) -> int:
    place = arguments.index("--recipe")
    name = arguments[place + 1]
    if name not in RECIPES:
        print(
            f"dit_policy train: unknown recipe {name!r}; valid names: {', '.join(RECIPES)}", file=sys.stderr
        )
        return 2
    recipe = importlib.import_module(RECIPES[name])
    return recipe.run_recipe(arguments[:place] + arguments[place + 2 :], main)


def train(options: argparse.Namespace, console: Console) -> int:
    """One training run with parsed options."""
    config = read_options(options)
    if config.threads:
        torch.set_num_threads(config.threads)
    folder = RunFolder(options.output)
    resumed = folder.last if options.resume else None
    if options.resume and resumed is None:
        raise TrainingError(f"--resume: {folder.checkpoints} holds no checkpoint yet; start the run anew")
    checkpoint = read_checkpoint(config.init) if config.init else None
    accelerator = make_accelerator(config)
    console.quiet = not accelerator.is_main_process
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bar:
        with accelerator.main_process_first():  # the others find what it decoded, in a frame store
            data = _read(config, checkpoint, bar)
        torch.manual_seed(config.seed)
        encoding = bar.add_task("encoding images", total=None, note="", visible=False)
        run = Run(
            config,
            folder,
            data,
            start_of(config, data, checkpoint),
            accelerator,
            resumed,
            lambda done, total: bar.update(encoding, completed=done, total=total, visible=True),
        )
        if run.trainer.left_out:
            console.print(
                f"{run.trainer.left_out} of {len(data.state)} frames are left out: the recorder flagged them "
                f"or their episode (dit_policy inspect shows why; --use-flagged trains on them)"
            )
        line = bar.add_task("training", total=config.steps, completed=run.trainer.step, note="")
        with _stopping(run.trainer):
            run.train(lambda step, note: bar.update(line, completed=step, note=note))
    if run.scores is not None:
        console.print(_table(run.scores))
    step = run.trainer.step
    console.print(f"trained to step {step} of {config.steps}; checkpoint: {folder.last}")
    if step < config.steps:
        console.print(f"stopped early; go on with: dit_policy train --resume --output {options.output}")
        return 130
    return 0


def _read(config: TrainConfig, checkpoint: Checkpoint | None, bar: Progress) -> Demonstrations:
    reading = bar.add_task("reading", total=None, note="")
    cameras = config.cameras
    if checkpoint is not None and not cameras:
        cameras = tuple(key.rsplit(".", 1)[-1] for key in checkpoint.config.image_features)
    return read_demonstrations(
        config.dataset,
        cameras or None,
        reading_size(config, checkpoint),
        lambda done, total: bar.update(reading, completed=done, total=total),
        FrameStore(Path(config.frame_store) if config.frame_store else None),
        keep_images=bool(config.frame_store)
        or checkpoint is None
        or not can_cache_features(config, checkpoint.config),
    )


def _table(scores: Scores) -> Table:
    """Validation by task."""
    table = Table("task", "held-out frames", "loss", "action error [rad or m]")
    for score in scores.tasks:
        table.add_row(score.task, str(score.frames), f"{score.loss:.5f}", f"{score.action_error:.4f}")
    return table


@contextmanager
def _stopping(trainer: Trainer) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends training after the step and a checkpoint, the next at once."""

    def stop(number: int, frame: object) -> None:
        signal.signal(number, before[number])
        trainer.stop()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
