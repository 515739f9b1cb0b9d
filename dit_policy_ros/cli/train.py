# SPDX-License-Identifier: Apache-2.0
"""`dit_policy train`: trains a policy on LeRobotDatasets."""

import importlib
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dit_policy_ros.cli.train_options import make_parser, read_options
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import RunFolder, Scores, TrainObserver, make_accelerator, train_policy

# Imported on use, because it needs MuJoCo.
RECIPES = {"cube_tasks": "dit_policy_ros.cli.train_options.cube_tasks"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit code: 0 done, 1 a user's mistake, 130 stopped early."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    console = Console()
    try:
        arguments = [part for each in arguments for part in _split_recipe(each)]
        if "--recipe" in arguments[:-1]:
            return _run_recipe(arguments, console)
        options = make_parser(tuple(RECIPES)).parse_args(arguments)
        return train(read_options(options), RunFolder(options.output), options.resume, console)
    except (DitPolicyError, OSError) as error:
        console.print(f"dit_policy train: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; continue from the last checkpoint, if there is one, with --resume")
        return 130


def train(config: TrainConfig, folder: RunFolder, resume: bool, console: Console) -> int:
    """One training run, with its progress and result on the console; returns the exit code."""
    accelerator = make_accelerator(config)
    console.quiet = not accelerator.is_main_process
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bars:
        observer = _ProgressBars(bars, config.steps)
        result = train_policy(config, folder, accelerator, observer, resume)
    if result.scores is not None:
        console.print(_score_table(result.scores))
    console.print(f"trained to step {result.step} of {config.steps}; checkpoint: {result.checkpoint}")
    if not result.is_finished:
        console.print(f"stopped early; continue with: dit_policy train --resume --output {folder.path}")
        return 130
    return 0


def _split_recipe(argument: str) -> list[str]:
    """--recipe=NAME as the two arguments --recipe NAME; any other argument unchanged."""
    return argument.split("=", 1) if argument.startswith("--recipe=") else [argument]


def _run_recipe(arguments: list[str], console: Console) -> int:
    place = arguments.index("--recipe")
    name = arguments[place + 1]
    if name not in RECIPES:
        message = f"dit_policy train: unknown recipe {name!r}; valid names: {', '.join(RECIPES)}"
        print(message, file=sys.stderr)
        return 2
    recipe = importlib.import_module(RECIPES[name])
    return recipe.run(arguments[:place] + arguments[place + 2 :], train, console)


class _ProgressBars(TrainObserver):
    """Shows reading, encoding and training as progress bars."""

    def __init__(self, bars: Progress, steps: int) -> None:
        self._bars, self._steps = bars, steps
        self._reading = bars.add_task("reading", total=None, note="")
        self._encoding = bars.add_task("encoding images", total=None, note="", visible=False)
        self._training = bars.add_task("training", total=steps, note="", visible=False)

    def on_read(self, done: int, total: int) -> None:
        self._bars.update(self._reading, completed=done, total=total)

    def on_encoded(self, done: int, total: int) -> None:
        self._bars.update(self._encoding, completed=done, total=total, visible=True)

    def on_start(self, step: int, frames: int, excluded_frames: int) -> None:
        if excluded_frames:
            self._bars.console.print(
                f"{excluded_frames} of {frames} frames are excluded: the recorder flagged them or their "
                f"episode (dit_policy inspect shows why; --use-flagged trains on them)"
            )
        self._bars.update(self._training, completed=step, visible=True)

    def on_step(self, step: int, note: str) -> None:
        self._bars.update(self._training, completed=step, note=note)


def _score_table(scores: Scores) -> Table:
    table = Table("task", "held-out frames", "loss", "action error [rad or m]")
    for score in scores.tasks:
        table.add_row(score.task, str(score.frames), f"{score.loss:.5f}", f"{score.action_error:.4f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
