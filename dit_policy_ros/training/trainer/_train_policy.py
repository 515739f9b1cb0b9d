# SPDX-License-Identifier: Apache-2.0
"""Training as one call: reads the data, builds the policy, trains, and ends cleanly on a signal."""

import dataclasses
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from dit_policy_ros.core.errors import HubError
from dit_policy_ros.data.hub import Repository
from dit_policy_ros.policy.checkpoint import pinned, read_checkpoint
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import initial_policy
from dit_policy_ros.training.reading import Sources, TrainObserver
from dit_policy_ros.training.together import together
from dit_policy_ros.training.trainer._run import Run, make_trainer, make_unified_trainer
from dit_policy_ros.training.trainer._run_folder import RunFolder
from dit_policy_ros.training.trainer._trainer import Trainer
from dit_policy_ros.training.trainer._validation import Scores
from dit_policy_ros.training.trainer._wandb import check_wandb
from dit_policy_ros.training.unified import unified_policy
from dit_policy_ros.training.wordings import fit_wordings, read_wordings


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The state of a run when it ended."""

    step: int
    is_finished: bool  # false if it was stopped before its last step
    checkpoint: Path | None  # the newest
    scores: Scores | None  # of the last validation


def train_policy(
    config: TrainConfig,
    folder: RunFolder,
    accelerator: Accelerator,
    observer: TrainObserver,
    resume: bool = False,
) -> TrainResult:
    """Train a policy, or resume its training.

    The first Ctrl-C or SIGTERM ends training after the current step with a checkpoint.

    Args:
        config: the run's options; for a resumed run those of ``folder.resumed_config``.
        folder: the run's folder.
        accelerator: from ``make_accelerator(config)``.
        observer: receives the progress.
        resume: continue from the newest checkpoint in ``folder``.

    Raises:
        DitPolicyError: the options, the data, the policy or the checkpoint to resume do not fit, or what
            the run is to send elsewhere cannot be sent.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if not resume:
        folder.check_new()  # before the data are read, which may take long
    resumed = folder.last if resume else None
    if resume and resumed is None:
        raise TrainingError(f"--resume: {folder.checkpoints} holds no checkpoint yet; start the run anew")
    if accelerator.is_main_process:
        _check_services(config)
    paraphrases = read_wordings(config.paraphrases) if config.paraphrases else None
    if config.init:  # a resumed run starts from the same weights, also if the hub has others by then
        config = dataclasses.replace(config, init=pinned(config.init))
    checkpoint = read_checkpoint(config.init) if config.init else None
    if checkpoint is not None and checkpoint.config.unified_slots:
        raise TrainingError(
            f"--init {checkpoint.folder}: it is a network for several robots; export it to one of them "
            f"first: dit_policy export_robot {checkpoint.folder} --robot NAME --output FOLDER"
        )
    is_absolute = checkpoint is not None and not checkpoint.config.relative_entries
    if checkpoint is not None and is_absolute and config.relative_actions and not config.adapt:
        raise TrainingError(
            f"relative_actions: --init {checkpoint.folder} predicts absolute actions and keeps its options; "
            f"leave it out, or start a new network without --init"
        )
    sources = Sources(config, checkpoint, folder.path, accelerator, observer)
    if config.unified_actions:
        robots, slots = sources.read_robots()
        tasks = tuple(dict.fromkeys(task for robot in robots for task in robot.data.tasks))
        wordings = {} if paraphrases is None else paraphrases.of_all(tasks)
        torch.manual_seed(config.seed)
        initial = unified_policy(config, robots, slots, wordings)
        trainer = make_unified_trainer(config, robots, initial, accelerator, observer.on_encoded, wordings)
    else:
        data = sources.read()
        torch.manual_seed(config.seed)
        wordings = {} if paraphrases is None else paraphrases.of_all(data.tasks)
        initial = initial_policy(config, data, checkpoint, wordings)
        if wordings:
            known = {task: (task,) for task in initial.known_tasks} | wordings
            initial = dataclasses.replace(initial, wordings=fit_wordings(known))
        trainer = make_trainer(config, data, initial, accelerator, observer.on_encoded, wordings)
    if initial.adaptation is not None:
        observer.on_adapted(initial.adaptation.lines())
    if config.push_to_hub:
        together(accelerator, lambda: _create_repository(config), main_only=True)
    run = Run(config, folder, trainer, initial, resumed)
    frames = len(trainer.batches.data.state)
    observer.on_start(trainer.step, frames, trainer.left_out)
    with _stop_on_signals(trainer):
        run.train(observer.on_step)
    return TrainResult(trainer.step, trainer.step == config.steps, folder.last, run.scores)


def _check_services(config: TrainConfig) -> None:
    """Find out before the data are read whether what the run sends elsewhere can be sent.

    Raises:
        DitPolicyError: a package, a login or the connection is missing.
    """
    if config.wandb:
        check_wandb()
    if config.push_to_hub:
        with _said_before_training():
            Repository(config.push_to_hub, "model").check_login()


def _create_repository(config: TrainConfig) -> None:
    with _said_before_training():
        Repository(config.push_to_hub, "model", config.hub_public).create()


@contextmanager
def _said_before_training() -> Iterator[None]:
    """Adds to a HubError that the run has not begun, and what to do without the hub."""
    try:
        yield
    except HubError as error:
        raise HubError(
            f"--push-to-hub: {error}; nothing has been trained. Or leave --push-to-hub out, and run "
            f"dit_policy push_to_hub when the run is finished"
        ) from error


@contextmanager
def _stop_on_signals(trainer: Trainer) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM stops the trainer after its step and a checkpoint, the second at once."""

    def stop(number: int, frame: object) -> None:
        signal.signal(number, before[number])
        trainer.stop()

    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
