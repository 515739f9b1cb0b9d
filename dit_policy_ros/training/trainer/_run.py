# SPDX-License-Identifier: Apache-2.0
"""A training run: a trainer, what it tells and what it leaves behind."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import Start, check_reachable
from dit_policy_ros.training.trainer._run_folder import STATE_FOLDER, RunFolder
from dit_policy_ros.training.trainer._run_log import RunLog
from dit_policy_ros.training.trainer._trainer import Progress, Trainer
from dit_policy_ros.training.trainer._validation import Scores, score_policy


class Run:
    """One process's part of a run; the main process logs, scores and writes the policy."""

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        data: Demonstrations,
        start: Start,
        accelerator: Accelerator,
        resumed: Path | None = None,
        report_encoded: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Begin a run or go on with one.

        Args:
            config: its options.
            folder: where it writes.
            data: what is learned from.
            start: the policy to train.
            accelerator: where to train.
            resumed: the checkpoint to go on from; None begins.
            report_encoded: as the trainer's.

        Raises:
            TrainingError: the options, the data and the policy do not fit, or the folder is in use.
        """
        batches = BatchMaker(
            data,
            start.policy,
            start.tokenizer,
            start.stats,
            config.instruction_dropout,
            config.augmentation,
            config.drop_idle,
        )
        check_reachable(batches, data.joint_names)
        self.config, self.folder, self.start = config, folder, start
        self.trainer = Trainer(start.policy, batches, config, accelerator, report_encoded)
        self.scores: Scores | None = None
        self._is_main = accelerator.is_main_process
        if resumed is not None:
            self.trainer.load_state(resumed / STATE_FOLDER)
        if self._is_main and resumed is not None:
            folder.write_config(config)
        elif self._is_main:
            folder.begin(config)
        self._log = RunLog(folder.path, self.trainer.step) if self._is_main else None
        self._losses: list[float] = []
        self._logged, self._since = self.trainer.step, time.monotonic()

    def train(self, show: Callable[[int, str], None]) -> None:
        """Train to the end or until the trainer is stopped.

        Args:
            show: called after each step with its number and what is known in a few words.
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
        if self._log is not None and (now.step % self.config.log_every == 0 or now.step == now.steps):
            seconds, steps = time.monotonic() - self._since, now.step - self._logged
            samples = steps * self.config.batch_size * self.trainer.accelerator.num_processes
            self._log.progress(now, float(np.mean(self._losses[-steps:])), samples / seconds)
            self._logged, self._since = now.step, time.monotonic()
        if now.step % self.config.validate_every == 0:
            self._score(self.trainer.trained, now.step)

    def _score(self, network: DiTPolicy, step: int) -> None:
        """Every process waits while one scores."""
        if self._log is not None and self.trainer.validation.any():
            self.scores = score_policy(
                network, self.trainer.batches, self.trainer.validation, self.trainer.features
            )
            self._log.scores(step, self.scores)
        self.trainer.accelerator.wait_for_everyone()

    def _save(self, network: DiTPolicy, step: int) -> None:
        if step % self.config.validate_every:
            self._score(network, step)
        self.folder.save(
            step,
            self.config.keep,
            self.trainer.save_state,
            lambda place: self._write(place, network, step),
            self._is_main,
            self.trainer.accelerator.wait_for_everyone,
            None if self.scores is None else self.scores.action_error,
        )

    def _write(self, place: Path, network: DiTPolicy, step: int) -> None:
        batches, data = self.trainer.batches, self.trainer.batches.data
        learned = self.config.tasks or data.tasks
        facts = CheckpointFacts(
            fps=data.fps,
            joint_names=data.joint_names,
            known_tasks=tuple(dict.fromkeys((*self.start.known_tasks, *learned))),
            instruction_dropout=self.config.instruction_dropout,
            training={
                "step": step,
                "loss": round(float(np.mean(self._losses[-200:])), 6),
                "frames": len(data.state),
                "validation": None if self.scores is None else dataclasses.asdict(self.scores),
                "options": self._options(),
            },
        )
        write_checkpoint(place, network, batches.stats, facts, self.start.tokenizer)

    def _options(self) -> dict[str, object]:
        """The run's options for people who get the checkpoint; of folders the names, not where they lie."""
        config = self.config
        names = {"dataset": [Path(place).name for place in config.dataset], "frame_store": ""}
        return config.to_mapping() | names | {"init": Path(config.init).name}
