# SPDX-License-Identifier: Apache-2.0
"""A training run: a trainer with its log, validation and checkpoints."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker, BatchOptions
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import InitialPolicy, check_reachable
from dit_policy_ros.training.trainer._run_folder import STATE_FOLDER, RunFolder
from dit_policy_ros.training.trainer._run_log import RunLog
from dit_policy_ros.training.trainer._trainer import Progress, Trainer
from dit_policy_ros.training.trainer._validation import Scores, score_policy


class Run:
    """One process's part of a run. The main process logs, scores and writes the policy."""

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        trainer: Trainer,
        initial: InitialPolicy,
        resumed: Path | None = None,
    ) -> None:
        """Begin a run, or continue one.

        Args:
            config: the run's options.
            folder: the run's folder.
            trainer: of the policy ``initial``.
            initial: the policy that the run starts with.
            resumed: the checkpoint to continue from; None begins a new run.

        Raises:
            TrainingError: the folder holds another run, or the state of ``resumed`` does not fit.
        """
        self.trainer = trainer
        self.scores: Scores | None = None
        self._config, self._folder, self._initial = config, folder, initial
        is_main = trainer.accelerator.is_main_process
        if resumed is not None:
            trainer.load_state(resumed / STATE_FOLDER)
        if is_main and resumed is not None:
            folder.write_config(config)
        elif is_main:
            folder.begin(config)
        self._log = RunLog(folder.path, trainer.step) if is_main else None
        self._losses: list[float] = []
        self._logged_step, self._logged_at = trainer.step, time.monotonic()

    def train(self, show: Callable[[int, str], None]) -> None:
        """Train to the last step or until the trainer is stopped.

        Args:
            show: called after each step with its number and a short text for people.
        """

        def report(now: Progress) -> None:
            self._report(now)
            note = f"loss {np.mean(self._losses[-100:]):.5f}"
            show(now.step, note + (f"  action error {self.scores.action_error:.4f}" if self.scores else ""))

        try:
            self.trainer.run(report, self._save)
        finally:
            if self._log is not None:
                self._log.close()

    def _report(self, now: Progress) -> None:
        self._losses = [*self._losses[-999:], now.loss]
        if self._log is not None and (now.step % self._config.log_every == 0 or now.step == now.steps):
            seconds, steps = time.monotonic() - self._logged_at, now.step - self._logged_step
            samples = steps * self._config.batch_size * self.trainer.accelerator.num_processes
            self._log.progress(now, float(np.mean(self._losses[-steps:])), samples / seconds)
            self._logged_step, self._logged_at = now.step, time.monotonic()
        if now.step % self._config.validate_every == 0:
            self._score(self.trainer.trained, now.step)

    def _score(self, network: DiTPolicy, step: int) -> None:
        """Score in the main process; the others wait."""
        if self._log is not None and self.trainer.held_out.any():
            self.scores = score_policy(
                network, self.trainer.batches, self.trainer.held_out, self.trainer.features
            )
            self._log.scores(step, self.scores)
        self.trainer.accelerator.wait_for_everyone()

    def _save(self, network: DiTPolicy, step: int) -> None:
        if step % self._config.validate_every:
            self._score(network, step)
        self._folder.save(
            step,
            self.trainer.save_state,
            lambda place: self._write(place, network, step),
            self.trainer.accelerator,
            self._config.keep,
            None if self.scores is None else self.scores.action_error,
        )

    def _write(self, place: Path, network: DiTPolicy, step: int) -> None:
        batches, data = self.trainer.batches, self.trainer.batches.data
        trained_tasks = self._config.tasks or data.tasks
        facts = CheckpointFacts(
            fps=data.fps,
            joint_names=data.joint_names,
            known_tasks=tuple(dict.fromkeys((*self._initial.known_tasks, *trained_tasks))),
            instruction_dropout=self._config.instruction_dropout,
            training={
                "step": step,
                "loss": round(float(np.mean(self._losses[-200:])), 6),
                "frames": len(data.state),
                "validation": None if self.scores is None else dataclasses.asdict(self.scores),
                "options": self._public_options(),
            },
        )
        write_checkpoint(place, network, batches.stats, facts, self._initial.tokenizer)

    def _public_options(self) -> dict[str, object]:
        """The run's options without the paths of this machine: folders by name only."""
        config = self._config
        names = {"dataset": [Path(place).name for place in config.dataset], "frame_store": ""}
        return {**config.to_mapping(), **names, "init": Path(config.init).name}


def make_trainer(
    config: TrainConfig,
    data: Demonstrations,
    initial: InitialPolicy,
    accelerator: Accelerator,
    report_encoded: Callable[[int, int], None] = lambda done, total: None,
) -> Trainer:
    """The trainer of a run; ``report_encoded`` as in ``Trainer``.

    Raises:
        TrainingError: options, data and policy do not fit together.
        DatasetError: the data lack a camera or have other dimensions than the policy.
    """
    options = BatchOptions(config.instruction_dropout, config.augmentation, config.drop_idle)
    batches = BatchMaker(data, initial.policy, initial.tokenizer, initial.stats, options)
    check_reachable(batches, data.joint_names)
    return Trainer(initial.policy, batches, config, accelerator, report_encoded)
