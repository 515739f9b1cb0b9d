# SPDX-License-Identifier: Apache-2.0
"""A training run: a trainer with its log, validation and checkpoints."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from accelerate import Accelerator

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint, write_instructions
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker, BatchOptions
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import InitialPolicy, check_reachable
from dit_policy_ros.training.together import together
from dit_policy_ros.training.trainer._run_folder import STATE_FOLDER, RunFolder
from dit_policy_ros.training.trainer._run_log import RunLog
from dit_policy_ros.training.trainer._trainer import Progress, Trainer
from dit_policy_ros.training.trainer._trial_checkpoint import try_checkpoint
from dit_policy_ros.training.trainer._validation import Scores, score_policy
from dit_policy_ros.training.trainer._wandb import WandbLog
from dit_policy_ros.training.unified import RobotData, UnifiedBatchMaker, UnifiedWriter


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
            TrainingError: the folder holds another run, the state of ``resumed`` does not fit, the policy
                could not be loaded from the checkpoints that would be written, or wandb refused the run.
        """
        self.trainer = trainer
        self.scores: Scores | None = None
        self._config, self._folder, self._initial = config, folder, initial
        is_main = trainer.accelerator.is_main_process
        self._losses: list[float] = []
        if resumed is None:
            folder.check_new()
        else:
            trainer.load_state(resumed / STATE_FOLDER)
        self._try_checkpoint()
        self._log = RunLog(folder.path, trainer.step, self._wandb()) if is_main else None
        if is_main and resumed is not None:
            folder.write_config(config)
        elif is_main:
            folder.begin(config)
            if initial.adaptation is not None:
                folder.write_adaptation(initial.adaptation.to_mapping())
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
            samples = steps * self._config.batch_size * self._config.accumulate
            samples *= self.trainer.accelerator.num_processes
            self._log.progress(now, float(np.mean(self._losses[-steps:])), samples / seconds)
            self._logged_step, self._logged_at = now.step, time.monotonic()
        if now.step % self._config.validate_every == 0:
            self._score(self.trainer.trained, now.step)

    def _score(self, network: DiTPolicy, step: int) -> None:
        """Score in the main process; the others wait. A sharded network needs all, on the same batches."""
        trainer = self.trainer
        if not trainer.held_out.any():
            return

        def score() -> Scores:
            return score_policy(network, trainer.batches, trainer.held_out, trainer.features)

        if self._config.shard:
            scores = score()
        else:
            scores = together(trainer.accelerator, score, main_only=True)
        if self._log is not None and scores is not None:
            self.scores = scores
            self._log.scores(step, scores)

    def _save(self, network: DiTPolicy, step: int) -> None:
        if step % self._config.validate_every:
            self._score(network, step)
        network = self.trainer.whole(network)
        self._folder.save(
            step,
            self.trainer.save_state,
            lambda place: self._write(place, network, step),
            self.trainer.accelerator,
            self._config.keep,
            None if self.scores is None else self.scores.action_error,
        )

    def _write(self, place: Path, network: DiTPolicy, step: int) -> None:
        batches, facts, tokenizer = self.trainer.batches, self._facts(step), self._initial.tokenizer
        if isinstance(batches, UnifiedBatchMaker):
            UnifiedWriter(batches, tokenizer).write(place, network, facts)
        else:
            known = batches.known_instructions().among(batches.data.tasks, facts.known_tasks)
            if self._initial.instructions is not None:
                known = known.with_earlier(self._initial.instructions)

            def write_more(folder: Path) -> None:
                write_instructions(folder, known)
                if self._initial.wordings is not None:
                    self._initial.wordings.among(facts.known_tasks).write(folder)

            write_checkpoint(place, network, batches.stats, facts, tokenizer, write_more)

    def _facts(self, step: int) -> CheckpointFacts:
        data = self.trainer.batches.data
        return CheckpointFacts(
            fps=data.fps,
            joint_names=data.state_names,
            action_names=None if data.action_names == data.state_names else data.action_names or (),
            vector_names={vector.key: vector.names for vector in data.vectors},
            known_tasks=tuple(dict.fromkeys((*self._initial.known_tasks, *self.trainer.trained_tasks))),
            instruction_dropout=self._config.instruction_dropout,
            training={
                "step": step,
                "loss": round(float(np.mean(self._losses[-200:])), 6) if self._losses else None,
                "frames": len(data.state),
                "validation": None if self.scores is None else dataclasses.asdict(self.scores),
                "options": self._public_options(),
                **self._adaptation(),
            },
        )

    def _adaptation(self) -> dict[str, object]:
        """What was kept of another robot's policy, if there is one."""
        adaptation = self._initial.adaptation
        return {} if adaptation is None else {"adaptation": adaptation.to_mapping()}

    def _try_checkpoint(self) -> None:
        network, step = self.trainer.whole(self.trainer.trained), self.trainer.step
        batches = self.trainer.batches

        def attempt() -> None:
            if isinstance(batches, UnifiedBatchMaker):
                writer = UnifiedWriter(batches, self._initial.tokenizer)
                for write in writer.write_each(network, self._facts(step)).values():
                    try_checkpoint(self._folder.trial, write)
            else:
                try_checkpoint(self._folder.trial, lambda place: self._write(place, network, step))

        together(self.trainer.accelerator, attempt, main_only=True)

    def _wandb(self) -> WandbLog | None:
        return WandbLog(self._folder.path, self._public_options()) if self._config.wandb else None

    def _public_options(self) -> dict[str, object]:
        """The run's options without the paths of this machine: folders by name only."""
        config = self._config
        names: dict[str, object] = {"dataset": [Path(place).name for place in config.dataset]}
        names |= {"frame_store": "", "paraphrases": Path(config.paraphrases).name}
        return {**config.to_mapping(), **names, "init": Path(config.init).name}


def batch_options(config: TrainConfig, wordings: Mapping[str, tuple[str, ...]]) -> BatchOptions:
    """How a run's batches are made; ``wordings`` as in ``BatchOptions``."""
    return BatchOptions(
        config.instruction_dropout, config.augmentation, config.drop_idle, config.gripper_scale, wordings
    )


def make_trainer(
    config: TrainConfig,
    data: Demonstrations,
    initial: InitialPolicy,
    accelerator: Accelerator,
    report_encoded: Callable[[int, int], None] = lambda done, total: None,
    wordings: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Trainer:
    """The trainer of a run; ``report_encoded`` as in ``Trainer``, ``wordings`` as in ``BatchOptions``.

    Raises:
        TrainingError: options, data and policy do not fit together.
        DatasetError: the data lack a camera or have other dimensions than the policy.
    """
    options = batch_options(config, wordings)
    batches = BatchMaker(data, initial.policy, initial.tokenizer, initial.stats, options)
    check_reachable(batches, data.action_names or ())
    return Trainer(initial.policy, batches, config, accelerator, report_encoded)


def make_unified_trainer(
    config: TrainConfig,
    robots: Sequence[RobotData],
    initial: InitialPolicy,
    accelerator: Accelerator,
    report_encoded: Callable[[int, int], None] = lambda done, total: None,
    wordings: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Trainer:
    """The trainer of a run for several robots; as ``make_trainer``."""
    options = batch_options(config, wordings)
    batches = UnifiedBatchMaker(robots, initial.policy, initial.tokenizer, options)
    for robot, maker in zip(robots, batches.makers, strict=True):
        check_reachable(maker, robot.data.action_names or ())
    return Trainer(initial.policy, batches, config, accelerator, report_encoded)
