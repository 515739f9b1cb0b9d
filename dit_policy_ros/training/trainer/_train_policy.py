# SPDX-License-Identifier: Apache-2.0
"""Training as one call: reads the data, builds the policy, trains, and ends cleanly on a signal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from dit_policy_ros.data.dataset import Demonstrations, FrameStore, read_demonstrations
from dit_policy_ros.policy.checkpoint import Checkpoint, read_checkpoint
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import image_read_size, initial_policy
from dit_policy_ros.training.trainer._run import Run, make_trainer
from dit_policy_ros.training.trainer._run_folder import RunFolder
from dit_policy_ros.training.trainer._trainer import Trainer, can_cache_features
from dit_policy_ros.training.trainer._validation import Scores


class TrainObserver:
    """Receives the progress of a run; override the methods that you need."""

    def on_read(self, done: int, total: int) -> None:
        """Frames of the datasets have been read."""

    def on_encoded(self, done: int, total: int) -> None:
        """Images have been encoded by a frozen vision encoder."""

    def on_start(self, step: int, frames: int, excluded_frames: int) -> None:
        """Training begins after ``step``; ``excluded_frames`` of all ``frames`` were flagged."""

    def on_step(self, step: int, note: str) -> None:
        """A step is done; ``note`` is a short text for people."""


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
        DitPolicyError: the options, the data, the policy or the checkpoint to resume do not fit.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    resumed = folder.last if resume else None
    if resume and resumed is None:
        raise TrainingError(f"--resume: {folder.checkpoints} holds no checkpoint yet; start the run anew")
    checkpoint = read_checkpoint(config.init) if config.init else None
    with accelerator.main_process_first():  # the other processes then find decoded images in the frame store
        data = _read_data(config, checkpoint, observer)
    torch.manual_seed(config.seed)
    initial = initial_policy(config, data, checkpoint)
    trainer = make_trainer(config, data, initial, accelerator, observer.on_encoded)
    run = Run(config, folder, trainer, initial, resumed)
    observer.on_start(trainer.step, len(data.state), trainer.excluded_frames)
    with _stop_on_signals(trainer):
        run.train(observer.on_step)
    return TrainResult(trainer.step, trainer.step == config.steps, folder.last, run.scores)


def _read_data(config: TrainConfig, checkpoint: Checkpoint | None, observer: TrainObserver) -> Demonstrations:
    cameras = config.cameras
    if checkpoint is not None and not cameras:
        cameras = tuple(key.rsplit(".", 1)[-1] for key in checkpoint.config.image_features)
    return read_demonstrations(
        config.dataset,
        cameras or None,
        image_read_size(config, checkpoint),
        observer.on_read,
        FrameStore(Path(config.frame_store) if config.frame_store else None),
        keep_images=bool(config.frame_store)
        or checkpoint is None
        or not can_cache_features(config, checkpoint.config),
    )


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
