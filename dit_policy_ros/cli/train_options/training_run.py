# SPDX-License-Identifier: Apache-2.0
"""One run of `dit_policy train`, on the console. It imports torch; the command line does not."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from dit_policy_ros.cli.common import progress_bar
from dit_policy_ros.core.errors import HubError
from dit_policy_ros.data.hub import Repository
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.publishing import push_checkpoint
from dit_policy_ros.training.trainer import (
    LeftOut,
    RunFolder,
    Scores,
    TrainObserver,
    make_accelerator,
    train_policy,
)


def train(config: TrainConfig, folder: RunFolder, resume: bool, console: Console) -> int:
    """One training run, with its progress and result on the console; returns the exit code."""
    accelerator = make_accelerator(config)
    console.quiet = not accelerator.is_main_process
    with progress_bar(console) as bars:
        observer = _ProgressBars(bars, config.steps)
        result = train_policy(config, folder, accelerator, observer, resume)
    if result.scores is not None:
        console.print(_score_table(result.scores))
    console.print(f"trained to step {result.step} of {config.steps}; checkpoint: {result.checkpoint}")
    console.print(f"before LeRobot loads it: dit_policy relocate {result.checkpoint}", soft_wrap=True)
    if not result.is_finished:
        console.print(f"stopped early; continue with: dit_policy train --resume --output {folder.path}")
        if config.push_to_hub:
            console.print(f"nothing is put on the hub ({config.push_to_hub}) before the run is finished")
        return 130
    if config.push_to_hub and accelerator.is_main_process and result.checkpoint is not None:
        _push(config, result.checkpoint / "pretrained_model", console)
    return 0


def _push(config: TrainConfig, checkpoint: Path, console: Console) -> None:
    try:
        url = push_checkpoint(checkpoint, Repository(config.push_to_hub, "model", config.hub_public))
    except HubError as error:
        raise HubError(
            f"{error}. The policy is trained; put it there later with: dit_policy push_to_hub {checkpoint} "
            f"{config.push_to_hub}"
        ) from error
    console.print(f"the checkpoint is at {url}", soft_wrap=True)


class _ProgressBars(TrainObserver):
    """Shows reading, encoding and training as progress bars."""

    def __init__(self, bars: Progress, steps: int) -> None:
        self._bars, self._steps = bars, steps
        self._reading = bars.add_task("reading", total=None, note="")
        self._encoding = bars.add_task("encoding images", total=None, note="", visible=False)
        self._training = bars.add_task("training", total=steps, note="", visible=False)

    def on_described(self, dataset: str, notices: Sequence[str]) -> None:
        for notice in notices:
            self._bars.console.print(f"{dataset}: {notice}", markup=False, highlight=False, soft_wrap=True)

    def on_images(self, reason: str) -> None:
        self._bars.console.print(f"images: {reason}", markup=False, highlight=False, soft_wrap=True)

    def on_adapted(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._bars.console.print(f"adapted: {line}", markup=False, highlight=False, soft_wrap=True)

    def on_robots(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_read(self, done: int, total: int) -> None:
        self._bars.update(self._reading, completed=done, total=total)

    def on_encoded(self, done: int, total: int) -> None:
        self._bars.update(self._encoding, completed=done, total=total, visible=True)

    def on_start(self, step: int, frames: int, left_out: LeftOut) -> None:
        reasons = (
            (
                left_out.failed,
                "the operator labelled their episodes failures (--use-failures uses them)",
            ),
            (
                left_out.overruled,
                "a policy drove, and a person took over later in the episode (--use-overruled uses them)",
            ),
            (
                left_out.flagged,
                "the recorder flagged them or their episode (dit_policy inspect shows why; --use-flagged "
                "uses them)",
            ),
        )
        for count, reason in reasons:
            if count:
                self._bars.console.print(f"{count} of {frames} frames are excluded: {reason}")
        self._bars.update(self._training, completed=step, visible=True)

    def on_step(self, step: int, note: str) -> None:
        self._bars.update(self._training, completed=step, note=note)


def _score_table(scores: Scores) -> Table:
    table = Table("task", "held-out frames", "loss", "action error [rad or m]")
    for score in scores.tasks:
        table.add_row(Text(score.task), str(score.frames), f"{score.loss:.5f}", f"{score.action_error:.4f}")
    return table
